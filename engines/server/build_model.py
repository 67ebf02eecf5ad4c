"""Builds the model folder of the CPU engine: `build_model.py --shape JSON --out DIR`.

The folder holds `openvino_model.xml` and `.bin` (half-precision weights) beside what every model folder has
(`model_folder.py`).
"""

from __future__ import annotations

import sys
from pathlib import Path

import llama_ir
import model_folder
import openvino as ov
from llama_shape import Shape


def save_weights(shape: Shape, folder: Path) -> None:
    """The graph and its weights."""
    ov.save_model(llama_ir.build(shape), folder / "openvino_model.xml", compress_to_fp16=True)


if __name__ == "__main__":
    sys.exit(model_folder.main(__doc__, save_weights))
