"""Restore damaged photographs: arrays in, arrays out.

    from inpaintcli import damage, detect, load_model, restore, score

    damaged, mask = damage(pixels, "scratches", seed=1)
    restored = restore(damaged, mask)
    restored = restore(damaged, detect(damaged, grow=2))
    print(score(restored, pixels, mask).hole_psnr)

Pixels are uint8 or uint16 NumPy arrays (h, w) or (h, w, c) in RGB order; masks are bool (h, w),
True = damaged. Importing this package needs no PyTorch and loads no model.
"""

import os

# OpenCV reads its limits once, as it is loaded; --max-pixels is the one that counts.
os.environ.setdefault("OPENCV_IO_MAX_IMAGE_PIXELS", str(2**40))
os.environ.setdefault("OPENCV_IO_MAX_IMAGE_WIDTH", str(2**31 - 1))
os.environ.setdefault("OPENCV_IO_MAX_IMAGE_HEIGHT", str(2**31 - 1))

from inpaintcli.damage import damage
from inpaintcli.detect import detect, load_detector
from inpaintcli.errors import InpaintError, ModelError, PhotoError, UsageError
from inpaintcli.inpainters.registry import load_model
from inpaintcli.metrics import Scores, score
from inpaintcli.restore import restore
from inpaintcli.version import __version__

__all__ = [
    "InpaintError",
    "ModelError",
    "PhotoError",
    "Scores",
    "UsageError",
    "__version__",
    "damage",
    "detect",
    "load_detector",
    "load_model",
    "restore",
    "score",
]
