"""The shape of the random-weight Llama that the embedded engines build for themselves."""

from __future__ import annotations

from pydantic import Field, NonNegativeInt, PositiveInt, model_validator

from harness.scenario.strict import Strict, mistake


class ModelShape(Strict):
    """The shape of the random-weight Llama that is built on first use."""

    vocabulary_size: PositiveInt = Field(ge=512, le=262_144, description="tokens in the vocabulary")
    hidden_size: PositiveInt = Field(description="width of the residual stream")
    layers: PositiveInt = Field(description="decoder layers")
    attention_heads: PositiveInt = Field(description="query heads per layer")
    kv_heads: PositiveInt = Field(description="key/value heads per layer; fewer than attention_heads: grouped queries")
    head_size: PositiveInt = Field(multiple_of=8, description="width of one head")
    feed_forward_size: PositiveInt = Field(description="width of the feed-forward layer")
    seed: NonNegativeInt = Field(0, description="seed of the weights and of the tokenizer's training order")

    @model_validator(mode="after")
    def _heads_share_evenly(self) -> ModelShape:
        if self.attention_heads % self.kv_heads:
            raise mistake(f"must divide attention_heads ({self.attention_heads})", "kv_heads")
        return self
