"""The pacer and the slices of a flush: what is due goes out in order, and work comes in bounded pieces."""

from __future__ import annotations

import time

import gevent
import pytest

from harness.drivers.locust.pacer import Pacer
from harness.drivers.locust.recorder import SLICE_CHUNKS, SLICE_ROWS, FinishedRequest, slices
from harness.drivers.locust.share import part_of
from harness.protocols.answer import Answer

MS = 1_000_000


def _paced() -> tuple[Pacer[str], list[tuple[int, int, str]]]:
    taken: list[tuple[int, int, str]] = []
    return Pacer(lambda due, item: taken.append((due, time.perf_counter_ns(), item))), taken


def test_items_are_handed_out_in_order_and_never_early() -> None:
    pacer, taken = _paced()
    start = time.perf_counter_ns()
    for offset in (6, 2, 4, 4):
        pacer.add(start + offset * MS, str(offset))
    running = gevent.spawn(pacer.run)
    while len(taken) < 4:
        gevent.sleep(0.001)
    pacer.close(0)
    running.join(timeout=5)
    assert [item for _, _, item in taken] == ["2", "4", "4", "6"]
    assert all(instant >= due for due, instant, _ in taken)


def test_what_is_overdue_goes_out_at_once_and_nothing_is_left_out() -> None:
    pacer, taken = _paced()
    for number in range(100):
        pacer.add(number, str(number))
    running = gevent.spawn(pacer.run)
    gevent.sleep(0.01)
    pacer.close(0)
    running.join(timeout=5)
    assert [item for _, _, item in taken] == [str(number) for number in range(100)]


def test_an_item_that_is_due_sooner_wakes_a_sleeping_pacer() -> None:
    pacer, taken = _paced()
    pacer.add(time.perf_counter_ns() + 60_000 * MS, "late")
    running = gevent.spawn(pacer.run)
    gevent.sleep(0.005)
    pacer.add(time.perf_counter_ns() + MS, "soon")
    deadline = time.monotonic() + 5
    while not taken and time.monotonic() < deadline:
        gevent.sleep(0.001)
    assert [item for _, _, item in taken] == ["soon"]
    assert pacer.close(2**62)
    assert not pacer.close(2**62)
    running.join(timeout=5)


def test_closing_tells_what_was_planned_until_then() -> None:
    pacer, taken = _paced()
    for due in (30, 10, 20):
        pacer.add(due, str(due))
    assert pacer.next_due_ns == 10
    assert pacer.close(20) == [(10, "10"), (20, "20")]
    assert not taken


def _answered(chunks: int) -> FinishedRequest:
    return FinishedRequest(None, None, 0, True, Answer("ok", None, 0, [0] * chunks))  # type: ignore[arg-type]


@pytest.mark.parametrize("sizes", [[1] * 300, [100] * 300, [5000, 1, 5000], [SLICE_CHUNKS, 1], [0] * 65, []])
def test_a_slice_is_bounded_by_rows_and_by_chunks_and_nothing_is_lost(sizes: list[int]) -> None:
    items = [_answered(size) for size in sizes]
    parts = list(slices(items))
    assert [item for part in parts for item in part] == items
    for part in parts:
        assert 1 <= len(part) <= SLICE_ROWS
        assert len(part) == 1 or sum(len(item.answer.chunk_stamps_ns) for item in part) <= SLICE_CHUNKS


@pytest.mark.parametrize(("total", "workers"), [(7, 2), (1, 3), (256, 5), (0, 2)])
def test_the_parts_of_all_workers_add_up(total: int, workers: int) -> None:
    parts = [part_of(total, worker, workers) for worker in range(workers)]
    assert sum(parts) == total
    assert max(parts) - min(parts) <= 1
