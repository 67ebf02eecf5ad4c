"""Load-testing and performance-benchmark harness for LLM serving on NVIDIA Triton with TensorRT-LLM.

`harness/README.md` draws the house: which package does what, and which way data flows through it.
"""

from __future__ import annotations

__version__ = "0.1.0"
