"""Builds the model folder of the torch engine: `build_torch_model.py --shape JSON --out DIR`.

It holds no weights: the engine draws them from the shape's seed, on the device, when it starts. That takes seconds for
a model of gigabytes, and nothing is written.
"""

from __future__ import annotations

import sys
from pathlib import Path

import model_folder
from llama_shape import Shape


def no_weights(shape: Shape, folder: Path) -> None:
    """Nothing to save."""


if __name__ == "__main__":
    sys.exit(model_folder.main(__doc__, no_weights))
