"""From the scenario's words to an endpoint."""

from __future__ import annotations

from pathlib import Path

import pytest

from harness.errors import UsageError
from harness.scenario.target import Attach
from harness.target.attach import endpoint_of, tokenizer_file
from harness.target.opened import token_count_source
from harness.target.triton import Contract, Tensor


def test_a_secret_is_sent_as_the_loader_filled_it_in_and_is_not_in_the_representation() -> None:
    attach = Attach.model_construct(url="gateway:443", headers={"authorization": "Bearer s3cret ${x}"}, name="gateway")
    endpoint = endpoint_of(attach)
    assert endpoint.headers == {"authorization": "Bearer s3cret ${x}"}
    assert "s3cret" not in repr(endpoint)


def test_a_tokenizer_may_be_a_file_or_a_folder(tmp_path: Path) -> None:
    file = tmp_path / "tokenizer.json"
    with pytest.raises(UsageError, match="no such tokenizer"):
        tokenizer_file(tmp_path)
    file.touch()
    assert tokenizer_file(tmp_path) == tokenizer_file(file) == file


def tensors(*names: str) -> dict[str, Tensor]:
    return {name: Tensor(name, "INT32", (-1, 1)) for name in names}


@pytest.mark.parametrize(
    ("contract", "source"),
    [
        (Contract(tensors("return_num_output_tokens"), tensors("num_output_tokens")), "server"),
        (Contract(tensors("input_ids"), tensors("output_ids", "sequence_length")), "server"),
        (Contract(tensors("text_input"), tensors("text_output", "num_output_tokens")), "chunks"),
        (None, "chunks"),
    ],
)
def test_tokens_are_counted_by_the_server_only_when_it_offers_that(contract: Contract | None, source: str) -> None:
    assert token_count_source(contract, endpoint_of(Attach(url="host:1"))) == source


def test_a_local_tokenizer_counts_when_the_server_does_not(tmp_path: Path) -> None:
    (tmp_path / "tokenizer.json").touch()
    endpoint = endpoint_of(Attach(url="host:1", tokenizer=tmp_path))
    assert token_count_source(None, endpoint) == "tokenizer"
