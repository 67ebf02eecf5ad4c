"""How the checkpoint of a classic engine is made: converted as it is, or quantised. Names are those of the scripts."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import Field, ModelWrapValidatorHandler, NonNegativeInt, PositiveInt, model_validator

from harness.engine.refusal import raise_all, without_refused
from harness.scenario.strict import Strict, mistake

WITHOUT_CALIBRATION = ("int8_wo", "int4_wo", "full_prec")
IN_BLOCKS = ("int4_awq", "w4a8_awq", "nvfp4")
FP8_FAMILY = ("fp8", "w4a8_awq", "nvfp4")
_CALIBRATION = ("calib_dataset", "calib_size", "calib_max_seq_length", "batch_size", "seed")
_UNDER_PARALLELISM = "write it under `parallelism`"
_NOT_YET = "quantize.py has it, but this kind of spec does not describe it yet"
NOT_QUANTIZED = {
    "model_dir": "write it as `source` under `model`",
    "output_dir": "the program chooses it",
    "tp_size": _UNDER_PARALLELISM,
    "pp_size": _UNDER_PARALLELISM,
    "cp_size": _NOT_YET,
    "autoq_format": _NOT_YET,
    "auto_quantize_bits": _NOT_YET,
    "export_format": "trtllm-build reads tensorrt_llm, the default",
}
Script = Annotated[str, Field(pattern=r"^[A-Za-z0-9_./-]+\.py$")]


class Conversion(Strict):
    """`convert_checkpoint.py`: the weights as they are, in another layout."""

    made_by: Literal["convert"] = Field(description="`convert` keeps the precision, `quantize` lowers it")
    script: Script = Field(
        "examples/models/core/llama/convert_checkpoint.py",
        description="the model family's script, below TensorRT-LLM's folder",
    )
    dtype: Literal["float16", "bfloat16", "float32"] = Field("bfloat16", description="type of the weights")


class Quantization(Strict):
    """`quantize.py`: ModelOpt's quantisation after training."""

    made_by: Literal["quantize"] = Field(description="`convert` keeps the precision, `quantize` lowers it")
    script: Script = Field("examples/quantization/quantize.py", description="the script, below TensorRT-LLM's folder")
    dtype: Literal["float16", "bfloat16", "float32"] = Field(
        "bfloat16", description="type of what is not quantised: activations between layers, logits"
    )
    qformat: Literal["nvfp4", "fp8", "int8_sq", "int4_awq", "w4a8_awq", "int8_wo", "int4_wo", "full_prec"] = Field(
        description="number format of the weights (and activations) of the matrix multiplications"
    )
    kv_cache_dtype: Literal["int8", "fp8"] | None = Field(
        None, description="number format of the KV cache; absent: that of `dtype`"
    )
    calib_dataset: str = Field("cnn_dailymail", min_length=1, description="text to calibrate with: a name or a folder")
    calib_size: PositiveInt = Field(512, description="samples to calibrate with")
    calib_max_seq_length: PositiveInt = Field(512, description="longest sample, in tokens")
    batch_size: PositiveInt = Field(1, description="samples calibrated together")
    awq_block_size: PositiveInt = Field(128, description="weights that share a scale, for the formats in blocks")
    seed: NonNegativeInt = Field(1234, description="seed of the calibration")

    @model_validator(mode="wrap")
    @classmethod
    def _refuse_by_name(cls, raw: Any, handler: ModelWrapValidatorHandler[Quantization]) -> Quantization:
        return without_refused(cls.__name__, raw, handler, NOT_QUANTIZED, "cannot be set here")

    @model_validator(mode="after")
    def _nothing_is_ignored(self) -> Quantization:
        given = self.model_fields_set
        wrong = []
        if self.qformat in WITHOUT_CALIBRATION and self.kv_cache_dtype is None:
            why = f"qformat {self.qformat} needs no calibration and would ignore it: leave it out"
            wrong += [mistake(why, name) for name in _CALIBRATION if name in given]
        if "awq_block_size" in given and self.qformat not in IN_BLOCKS:
            why = f"qformat {self.qformat} has no blocks and would ignore it; formats in blocks: {', '.join(IN_BLOCKS)}"
            wrong.append(mistake(why, "awq_block_size"))
        raise_all(type(self).__name__, wrong)
        return self


Checkpoint = Annotated[Conversion | Quantization, Field(discriminator="made_by")]


class Parallelism(Strict):
    """How the model is cut over GPUs; fixed when the checkpoint is made."""

    tp_size: PositiveInt = Field(1, le=64, description="GPUs that share each layer (tensor parallel)")
    pp_size: PositiveInt = Field(1, le=64, description="groups of layers, one after the other (pipeline parallel)")
    moe_tp_size: PositiveInt | None = Field(None, description="of a mixture of experts: GPUs that share each expert")
    moe_ep_size: PositiveInt | None = Field(None, description="of a mixture of experts: groups of experts")

    @property
    def world_size(self) -> int:
        """GPUs of one instance."""
        return self.tp_size * self.pp_size

    @model_validator(mode="after")
    def _experts_fill_the_gpus(self) -> Parallelism:
        if self.moe_tp_size is None and self.moe_ep_size is None:
            return self
        if (self.moe_tp_size or 1) * (self.moe_ep_size or 1) != self.tp_size:
            at = "moe_ep_size" if self.moe_ep_size is not None else "moe_tp_size"
            raise mistake(f"moe_tp_size x moe_ep_size must be tp_size ({self.tp_size})", at)
        return self
