"""The torch engine against an oracle without cache or batching, on the CPU, in the torch environment's own interpreter.

Skipped where no torch environment was made (`harness engine up` of a torch engine makes it): about 700 MB are never
installed for a test.
"""

from __future__ import annotations

import json
import subprocess
from pathlib import Path
from typing import Any

import pytest

from harness.target import server_environment
from harness.target.server_environment import TORCH

CHECKS = Path(__file__).with_name("torch_checks.py")


@pytest.fixture(scope="module")
def findings() -> Any:
    environment = server_environment.find(TORCH)
    if environment is None:
        pytest.skip("no torch environment here: `harness engine up` of a torch engine makes one (about 700 MB)")
    done = subprocess.run(
        [str(environment.python), "-I", str(CHECKS)], capture_output=True, text=True, timeout=120, check=False
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def test_mixed_prompts_in_pieces_give_the_tokens_of_the_oracle(findings: Any) -> None:
    assert findings["mixed"]["right"]
    assert findings["mixed"]["most"] == 6, "all in one iteration"
    assert findings["mixed"]["used"] == 0


def test_whole_prompts_give_the_tokens_of_the_oracle(findings: Any) -> None:
    assert findings["whole"]["right"]
    assert findings["whole"]["lengths"] == [2] * 20


def test_paused_requests_are_computed_again_and_give_the_same_tokens(findings: Any) -> None:
    assert findings["tight"]["right"]
    assert min(findings["tight"]["lengths"][4:-40]) < 4, "somebody was paused"


def test_a_reused_beginning_saves_its_iterations_and_changes_no_token(findings: Any) -> None:
    assert findings["reuse"]["same"]
    assert findings["reuse"]["second_steps"] == findings["reuse"]["first_steps"] - 6  # 192 of 200 tokens, 32 a step
    assert findings["reuse"]["used"] == 0


def test_a_seed_repeats_and_another_differs(findings: Any) -> None:
    assert findings["sampled"] == {"same_seed": True, "other_seed": False, "beside_others": 12}


def test_a_cancelled_request_gives_its_blocks_back_and_is_not_mentioned_again(findings: Any) -> None:
    assert findings["cancelled"] == {"keys": [0, 2], "used": 0}


def test_cuda_without_a_gpu_is_refused_with_the_reason(findings: Any) -> None:
    assert "torch sees 0 CUDA devices" in findings["no_cuda"]
