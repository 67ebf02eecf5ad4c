"""What a spec says of the GPUs it is meant for, and of the model it serves."""

from __future__ import annotations

from pydantic import Field, PositiveFloat, PositiveInt

from harness.scenario.strict import Strict

# Parts of product names → the first data types for which the chips have matrix units.
_WITHOUT_FP8 = ("V100", "A100", "A30", "A10", "A40", "T4", "RTX A")
_WITH_FP4 = ("B100", "B200", "B300", "GB200", "GB300", "RTX PRO 6000", "RTX 50")


class ExpectedGpu(Strict):
    """The GPU a spec is meant for: builds depend on it, and a run on another one is another experiment."""

    product: str = Field(min_length=1, description="product name as NVML gives it, e.g. `NVIDIA H100 80GB HBM3`")
    memory_gib: PositiveFloat = Field(description="memory of one GPU in GiB")
    count: PositiveInt | None = Field(
        None, description="GPUs of one server; default: what parallelism and instances need"
    )

    @property
    def has_fp8(self) -> bool:
        """Whether the chip multiplies FP8 matrices: Ada, Hopper and later."""
        return not any(name in self.product for name in _WITHOUT_FP8)

    @property
    def has_fp4(self) -> bool:
        """Whether the chip multiplies FP4 matrices: Blackwell and later."""
        return any(name in self.product for name in _WITH_FP4)


class ServedModel(Strict):
    """The model that TensorRT-LLM serves: where its weights and its tokenizer come from."""

    source: str = Field(
        min_length=1, description="name on Hugging Face (`meta-llama/Llama-3.1-8B-Instruct`), or a folder of the server"
    )
    revision: str | None = Field(None, description="commit or tag on Hugging Face; default: the newest")
    tokenizer: str | None = Field(
        None, description="tokenizer's name or folder, as the server sees it; default: `source`"
    )

    @property
    def tokenizer_source(self) -> str:
        """Where the tokenizer is looked for."""
        return self.tokenizer or self.source
