"""The truth server's log: what it keeps, and that a file gives back what was written."""

from __future__ import annotations

from pathlib import Path

import pytest

from harness.errors import UsageError
from harness.truth.sent_log import OpenRequest, Outcome, SentLog, SentRequest, read_log


def opened() -> OpenRequest:
    return OpenRequest(
        request_id="r",
        model="ensemble",
        connection=0,
        stream_id=1,
        arrival_ns=5,
        request_complete_ns=6,
        input_tokens=3,
        output_tokens_asked=2,
    )


def finished() -> SentRequest:
    request = opened()
    for due_ns, tokens in ((9, 0), (10, 1), (20, 2)):
        request.built(due_ns, tokens)
        request.handed(due_ns + 1, due_ns + 2)
    return request.close(Outcome.COMPLETED, 30)


def test_only_chunks_that_were_handed_over_count() -> None:
    request = opened()
    request.built(10, 1)
    request.built(20, 1)
    request.handed(11, 12)
    closed = request.close(Outcome.CANCELLED, 15)
    assert (closed.chunk_due_ns, closed.chunk_sent_ns, closed.chunk_taken_ns) == ((10,), (11,), (12,))
    assert (closed.output_tokens, closed.outcome) == (1, Outcome.CANCELLED)


def test_the_first_token_is_not_an_empty_chunk() -> None:
    assert finished().first_token_sent_ns == 11
    assert opened().close(Outcome.ERROR, 9).first_token_sent_ns is None


def test_what_is_written_is_read_back(tmp_path: Path) -> None:
    path = tmp_path / "sent.jsonl"
    log = SentLog(path)
    for _ in range(3):
        log.add(finished())
    assert log.write(limit=1)
    assert read_log(path) == [finished()]
    log.close()
    assert read_log(path) == [finished()] * 3


def test_without_a_file_records_stay_in_the_process() -> None:
    log = SentLog()
    log.add(finished())
    assert log.records == [finished()]


@pytest.mark.parametrize("line", ['{"request_id": "r"}', "[]", '{"request', '{"outcome": "lost"}'])
def test_a_damaged_line_is_named(tmp_path: Path, line: str) -> None:
    path = tmp_path / "sent.jsonl"
    path.write_text(line + "\n")
    with pytest.raises(UsageError, match=r"sent\.jsonl:1"):
        read_log(path)
