"""Traces of the three formats, as other people's files have them."""

from __future__ import annotations

import random
from pathlib import Path

import pytest

from harness.resources import shipped
from harness.scenario.trace_file import TraceRow, read_trace


def read(folder: Path, content: str) -> list[TraceRow]:
    file = folder / "trace"
    file.write_text(content, encoding="utf-8")
    return list(read_trace(file).rows)


def test_azure_with_seven_digits_a_zone_or_neither(tmp_path: Path) -> None:
    head = "TIMESTAMP,ContextTokens,GeneratedTokens\n"
    seven = read(tmp_path, head + "2023-11-16 18:15:46.6805900,374,44\n2023-11-16 18:15:50.9951690,396,109\n")
    assert seven == [TraceRow(0, 374, 44), TraceRow(4_314_579_000, 396, 109)]
    zoned = read(tmp_path, head + "2024-05-10 23:59:59.999999+00:00,5,6\n2024-05-11T00:00:01Z,7,8\n")
    assert zoned == [TraceRow(0, 5, 6), TraceRow(1_000_001_000, 7, 8)]
    bom = read(tmp_path, "\ufeff" + head.replace("\n", "\r\n") + "2024-05-10 00:00:00,0,6\r\n")
    assert bom == [TraceRow(0, 0, 6)]


def test_mooncake_with_and_without_blocks(tmp_path: Path) -> None:
    rows = read(
        tmp_path,
        '{"timestamp": 27482, "input_length": 6955, "output_length": 52, "hash_ids": [46, 47]}\n\n'
        '{"timestamp": 30535.5, "input_length": 6472, "output_length": 26}\n',
    )
    assert rows == [TraceRow(0, 6955, 52, (46, 47)), TraceRow(3_053_500_000, 6472, 26)]


def test_ours_as_csv_and_as_jsonl(tmp_path: Path) -> None:
    csv = read(tmp_path, "block_ids,arrival_s,note,input_tokens,output_tokens\n7 8,2.5,x,30,4\n,3,y,31,5\n")
    assert csv == [TraceRow(0, 30, 4, (7, 8)), TraceRow(500_000_000, 31, 5)]
    jsonl = read(tmp_path, '{"arrival_s": 2.5, "input_tokens": 30, "output_tokens": 4, "block_ids": [7, 8]}')
    assert jsonl == csv[:1]
    assert read(tmp_path, "arrival_s\n1\n2\n") == [TraceRow(0, None, None), TraceRow(1_000_000_000, None, None)]


def test_rows_out_of_order_are_sorted_and_equal_instants_keep_their_order(tmp_path: Path) -> None:
    numbers = list(range(200))
    random.Random(1).shuffle(numbers)
    rows = read(tmp_path, "arrival_s,input_tokens\n" + "".join(f"{n // 2},{n}\n" for n in numbers))
    assert [row.arrival_ns for row in rows] == [n // 2 * 1_000_000_000 for n in range(200)]
    order = {n: place for place, n in enumerate(numbers)}
    pairs = zip(rows[::2], rows[1::2], strict=True)
    assert all(order[one.input_tokens] < order[other.input_tokens] for one, other in pairs)  # type: ignore[index]


@pytest.mark.parametrize(
    ("name", "count", "seconds"),
    [("azure-conversation-2023-head.csv", 1200, 253.476496), ("mooncake-conversation-head.jsonl", 80, 27.0)],
)
def test_the_shipped_excerpts_are_whole(name: str, count: int, seconds: float) -> None:
    trace = read_trace(shipped("scenarios", "traces", name))
    assert len(trace.rows) == count
    assert trace.length_ns == round(seconds * 1e9)
    assert all(row.input_tokens and row.output_tokens for row in trace.rows)
