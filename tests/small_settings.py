"""Settings that make a clip quickly."""

QUICK = {"num_inference_steps": 2, "num_frames": 4, "progress": False}
