"""ONNX files that a script is given, read or refused in one line."""

from __future__ import annotations

from pathlib import Path

import onnx


class OnnxFileError(Exception):
    """The file is not what a script needs; the text names it and says why."""


def read(path: Path) -> onnx.ModelProto:
    """The model in a file; raises OnnxFileError where there is none."""
    try:
        return onnx.load(path)
    except OSError as error:
        raise OnnxFileError(f"{path}: cannot be read ({error.strerror})") from None
    except Exception:  # What is no model at all makes protobuf raise anything.
        raise OnnxFileError(f"{path}: is no ONNX file") from None
