"""Tests of `inpaint` and of its training."""

import os

# Before ONNX Runtime is imported anywhere: it is not to tell anybody of what is run.
os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")
