"""Tests of `inpaint` and of its training."""

import os

from hypothesis import settings

# Before ONNX Runtime is imported anywhere: it is not to tell anybody of what is run.
os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")

# A busy machine is no fault of what is tested.
settings.register_profile("inpaint", deadline=None)
settings.load_profile("inpaint")
