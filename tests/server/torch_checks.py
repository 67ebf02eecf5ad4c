"""Run by `test_server_torch.py` with the interpreter of the torch environment: prints one JSON object of findings.

Every generated token is compared with an oracle that keeps no cache, batches nothing and spells attention out.
"""

from __future__ import annotations

import json
import sys
import tempfile
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "engines" / "server"))
import torch
from generation import GenerationRequest, Sampling
from llama_shape import NORM_EPSILON, ROPE_BASE, Shape
from settings import RefusedSetting, Settings
from torch_engine import TorchEngine

SHAPE = Shape(
    vocabulary_size=600,
    hidden_size=64,
    layers=3,
    attention_heads=4,
    kv_heads=2,
    head_size=16,
    feed_forward_size=96,
    seed=5,
)
GIVEN = {
    "max_batch_size": "8",
    "max_num_tokens": "48",
    "max_seq_len": "256",
    "max_tokens_in_paged_kv_cache": "2048",
    "batch_scheduler_policy": "guaranteed_no_evict",
    "enable_kv_cache_reuse": "false",
    "enable_chunked_context": "true",
    "threads": "1",
    "max_queue_size": "0",
    "library": "torch",
    "device": "cpu",
    "dtype": "float32",
    "tokens_per_block": "32",
}


def engine(**changed: str) -> TorchEngine:
    with tempfile.TemporaryDirectory() as folder:
        (Path(folder) / "config.json").write_text(json.dumps(SHAPE.configuration()))
        return TorchEngine(Path(folder), Settings.parse({**GIVEN, **changed}))


def prompt(length: int, salt: int) -> list[int]:
    return [(31 * at + 17 * salt + at * at * salt) % 590 + 5 for at in range(length)]


def request(length: int, count: int, salt: int, **more: Any) -> GenerationRequest:
    return GenerationRequest(prompt(length, salt), count, arrival_ns=0, **more)


def oracle(model: Any, tokens: list[int]) -> torch.Tensor:
    """Logits after the last of these tokens: no cache, no packing, one head at a time."""
    x = model._embedding[torch.tensor(tokens)]
    angle = torch.outer(torch.arange(len(tokens)).float(), ROPE_BASE ** (-torch.arange(0, 16, 2) / 16))
    turn = torch.polar(torch.ones_like(angle), angle)

    def normed(y: torch.Tensor) -> torch.Tensor:
        return y / (y.pow(2).mean(-1, keepdim=True) + NORM_EPSILON).sqrt()

    def turned(y: torch.Tensor) -> torch.Tensor:  # the two halves of a head are the parts of complex numbers
        z = torch.complex(y[:, :8], y[:, 8:]) * turn
        return torch.cat([z.real, z.imag], -1)

    causal = torch.full((len(tokens), len(tokens)), float("-inf")).triu(1)
    for weights in model._layers:
        qkv = normed(x) @ weights["qkv"].T
        heads = []
        for head in range(4):
            q = turned(qkv[:, head * 16 : head * 16 + 16])
            k = turned(qkv[:, 64 + head // 2 * 16 : 80 + head // 2 * 16])
            v = qkv[:, 96 + head // 2 * 16 : 112 + head // 2 * 16]
            heads.append((q @ k.T / 4 + causal).softmax(-1) @ v)
        x = x + torch.cat(heads, -1) @ weights["out"].T
        gate, up = (normed(x) @ weights["gate_up"].T).split(96, -1)
        x = x + (gate * gate.sigmoid() * up) @ weights["down"].T
    return normed(x[-1]) @ model._embedding.T


def expected(model: Any, asked: GenerationRequest) -> list[int]:
    tokens = list(asked.input_ids)
    for _ in range(asked.max_new_tokens):
        tokens.append(int(oracle(model, tokens).argmax()))
    return tokens[len(asked.input_ids) :]


def drive(running: TorchEngine, requests: list[GenerationRequest], limit: int = 2000) -> dict[str, Any]:
    """All requests at once, to their end."""
    answers: dict[int, list[int]] = {key: [] for key in range(len(requests))}
    for key, asked in enumerate(requests):
        running.add(key, asked)
    open_keys, most, steps, lengths = set(answers), 0, 0, []
    while open_keys and steps < limit:
        produced = running.step()
        steps += 1
        most = max(most, running.statistics().scheduled_requests)
        lengths.append(len(produced))
        for outcome in produced:
            answers[outcome.key] += outcome.tokens
            if outcome.ended:
                open_keys.discard(outcome.key)
    used = running.statistics().used_blocks
    return {"answers": list(answers.values()), "most": most, "steps": steps, "lengths": lengths, "used": used}


def compared(requests: list[GenerationRequest], **changed: str) -> dict[str, Any]:
    running = engine(**changed)
    found = drive(running, requests)
    with torch.inference_mode():
        found["right"] = found["answers"] == [expected(running._model, asked) for asked in requests]
    return found


def reuse() -> dict[str, Any]:
    """The same prompt twice: the second time most of it is in the cache, and the answer is the same."""
    running, asked = engine(enable_kv_cache_reuse="true", max_num_tokens="32"), request(200, 6, 3)
    first, second = drive(running, [asked]), drive(running, [asked])
    both = drive(running, [asked, request(200, 6, 4)])
    return {
        "same": first["answers"] == second["answers"] == both["answers"][:1],
        "first_steps": first["steps"],
        "second_steps": second["steps"],
        "used": both["used"],
    }


def sampled(salt: int) -> list[int]:
    asked = request(20, 12, 1, sampling=Sampling(top_k=50, temperature=1.5, seed=salt))
    beside = [request(30, 12, other) for other in range(2, 5)] if salt == 7 else []
    answer: list[int] = drive(engine(), [asked, *beside])["answers"][0]
    return answer


def refusal(**changed: str) -> str:
    try:
        engine(**changed)
    except RefusedSetting as why:
        return str(why)
    return "accepted"


def cancelled() -> dict[str, Any]:
    running = engine()
    for key in range(3):
        running.add(key, request(40, 50, key))
    for _ in range(5):
        running.step()
    running.cancel(1)
    keys = {outcome.key for _ in range(5) for outcome in running.step()}
    running.cancel(0)
    running.cancel(2)
    return {"keys": sorted(keys), "used": running.statistics().used_blocks}


def main() -> None:
    torch.set_num_threads(1)
    mixed = [request(length, 20, length) for length in (3, 60, 130, 31, 32, 33)]
    tight = {"max_tokens_in_paged_kv_cache": "256", "batch_scheduler_policy": "max_utilization", "max_seq_len": "160"}
    findings = {
        "mixed": compared(mixed),
        "whole": compared(mixed[:2], enable_chunked_context="false", max_num_tokens="64"),
        "tight": compared([request(40, 60, salt) for salt in range(4)], **tight),
        "reuse": reuse(),
        "sampled": {
            "same_seed": sampled(6) == sampled(6),
            "other_seed": sampled(6) == sampled(8),
            "beside_others": len(sampled(7)),
        },
        "cancelled": cancelled(),
        "no_cuda": refusal(device="cuda") if not torch.cuda.is_available() else "torch sees 0 CUDA devices",
    }
    print(json.dumps(findings))


main()
