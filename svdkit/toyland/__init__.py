"""Toyland: a small painted world, and the small models that learned to animate it."""
