"""JSON bodies decoded into what the truth server obeys, refused where the real servers refuse them.

Triton's generate maps keys to the model's inputs and takes any other key for a parameter. trtllm-serve knows its fields
and refuses others, as it does with `extra=forbid`.
"""

from __future__ import annotations

import json
from typing import Any

from harness.truth.asked import MOST_OUTPUT_TOKENS, Asked, find_model
from harness.truth.counting import TokenCounter
from harness.truth.grpc import GrpcError, Status
from harness.truth.models import MODELS, Model

_SAMPLING = ("temperature", "top_p", "top_k", "seed", "frequency_penalty", "presence_penalty", "repetition_penalty")
_LENGTH = ("max_tokens", "max_completion_tokens", "min_tokens", "ignore_eos", "stop", "stop_token_ids")
_KNOWN = frozenset(("model", "stream", "stream_options", "n", "user", "logprobs", *_LENGTH, *_SAMPLING))


def read_generate(model_name: str, body: bytes, request_id: str, counter: TokenCounter, *, streaming: bool) -> Asked:
    """A request to Triton's generate or generate_stream. Raises GrpcError."""
    model, fields = find_model(model_name), _object(body)
    missing = [tensor.name for tensor in model.inputs if tensor.required and tensor.name not in fields]
    if missing:
        raise GrpcError(Status.INVALID_ARGUMENT, f"input '{missing[0]}' is missing for model '{model.name}'")
    prompt = _prompt(fields[model.prompt])
    if streaming and not _flag(fields, model.stream):
        raise GrpcError(Status.INVALID_ARGUMENT, f"the truth server streams only with {model.stream}: true")
    return Asked(
        model=model,
        request_id=request_id,
        prompt=prompt,
        input_tokens=counter.count(prompt) if isinstance(prompt, str) else len(prompt),
        output_tokens=_budget(fields, model.budget),
        is_streaming=streaming,
        excludes_input=_flag(fields, "exclude_input_in_output"),
        wants_input_count=_flag(fields, "return_num_input_tokens"),
        wants_output_count=_flag(fields, "return_num_output_tokens"),
        wants_times=_flag(fields, "return_perf_metrics"),
        wants_empty_final=False,
    )


def read_openai(body: bytes, request_id: str, counter: TokenCounter, *, chat: bool) -> Asked:
    """A request to chat completions, or to completions. Raises GrpcError."""
    fields = _object(body)
    unknown = sorted(fields.keys() - _KNOWN - {"messages" if chat else "prompt"})
    if unknown:
        raise GrpcError(Status.INVALID_ARGUMENT, f"{unknown[0]}: Extra inputs are not permitted")
    if ("prompt" not in fields and not chat) or ("messages" not in fields and chat):
        raise GrpcError(Status.INVALID_ARGUMENT, f"{'messages' if chat else 'prompt'}: Field required")
    prompt = _chat_prompt(fields["messages"]) if chat else _prompt(fields["prompt"])
    usage = (fields.get("stream_options") or {}).get("include_usage", True)
    return Asked(
        model=_served(str(fields.get("model"))),
        request_id=request_id,
        prompt=prompt,
        input_tokens=counter.count(prompt) if isinstance(prompt, str) else len(prompt),
        output_tokens=_budget(fields, "max_tokens"),
        is_streaming=bool(fields.get("stream", False)),
        excludes_input=True,
        wants_input_count=bool(usage),
        wants_output_count=bool(usage),
        wants_times=False,
        wants_empty_final=True,
    )


def _served(name: str) -> Model:
    if name not in MODELS:
        raise GrpcError(Status.NOT_FOUND, f"The model `{name}` does not exist.")
    return MODELS[name]


def _object(body: bytes) -> dict[str, Any]:
    try:
        fields = json.loads(body)
    except ValueError as error:
        raise GrpcError(Status.INVALID_ARGUMENT, f"failed to parse the request JSON buffer: {error}") from error
    if not isinstance(fields, dict):
        raise GrpcError(Status.INVALID_ARGUMENT, "the request is no JSON object")
    return fields


def _prompt(value: Any) -> str | tuple[int, ...]:
    if isinstance(value, str):
        return value
    if isinstance(value, list) and value and all(isinstance(each, int) for each in value):
        return tuple(value)
    raise GrpcError(Status.INVALID_ARGUMENT, "a prompt is a text or a list of token ids")


def _chat_prompt(messages: Any) -> str:
    try:
        return "\n".join(str(message["content"]) for message in messages)
    except (TypeError, KeyError) as error:
        raise GrpcError(Status.INVALID_ARGUMENT, "messages: a list of objects with content is required") from error


def _budget(fields: dict[str, Any], name: str) -> int:
    budget = fields.get(name)
    if not isinstance(budget, int) or not 0 < budget <= MOST_OUTPUT_TOKENS:
        raise GrpcError(Status.INVALID_ARGUMENT, f"{name} must be a single value > 0")
    return budget


def _flag(fields: dict[str, Any], name: str) -> bool:
    return bool(fields.get(name, False))
