"""`python -m svdkit …` is `svdkit …`."""

import sys

from .cli import main

sys.exit(main())
