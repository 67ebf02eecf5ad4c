"""What is sent when, the behaviour it follows from, and the timers that play it: pure."""

from __future__ import annotations

import pytest

from harness.errors import UsageError
from harness.truth.behaviour import Behaviour, from_json
from harness.truth.schedule import Fate, as_one_response, draw, slowed
from harness.truth.timers import Timers

MS = 1_000_000


def test_the_first_token_comes_after_its_time_and_the_others_at_even_gaps() -> None:
    schedule = draw(Behaviour(time_to_first_token_s=0.05, inter_token_s=0.01), "r", 4)
    assert schedule.offsets_ns == [50 * MS, 60 * MS, 70 * MS, 80 * MS]
    assert schedule.chunk_tokens == [1, 1, 1, 1]


def test_a_chunk_of_k_tokens_takes_k_gaps_and_a_short_last_one_fewer() -> None:
    schedule = draw(Behaviour(inter_token_s=0.01, tokens_per_chunk=4), "r", 9)
    assert schedule.chunk_tokens == [4, 4, 1]
    assert schedule.offsets_ns == [0, 40 * MS, 50 * MS]


def test_an_empty_first_chunk_comes_before_the_first_token_and_does_not_move_it() -> None:
    schedule = draw(Behaviour(time_to_first_token_s=0.05, empty_first_chunk=True), "r", 1)
    assert (schedule.offsets_ns, schedule.chunk_tokens) == ([25 * MS, 50 * MS], [0, 1])


def test_jitter_depends_on_seed_and_request_only_and_never_reverses_chunks() -> None:
    behaviour = Behaviour(inter_token_s=0.01, jitter_s=0.02, seed=3)
    first = draw(behaviour, "a", 200)
    assert first == draw(behaviour, "a", 200)
    assert first != draw(behaviour, "b", 200)
    assert first != draw(Behaviour(inter_token_s=0.01, jitter_s=0.02, seed=4), "a", 200)
    assert first.offsets_ns == sorted(first.offsets_ns)
    assert first.offsets_ns[0] >= 0


def test_without_jitter_randomness_changes_no_instant() -> None:
    plain, drawn = (
        Behaviour(inter_token_s=0.01, tokens_per_chunk=3),
        Behaviour(inter_token_s=0.01, tokens_per_chunk=3, jitter_s=1e-12, reject_share=0.0),
    )
    assert draw(plain, "a", 8).offsets_ns == draw(drawn, "a", 8).offsets_ns


@pytest.mark.parametrize(
    ("behaviour", "fate", "tokens"),
    [
        (Behaviour(error_after_tokens=3), Fate.ERROR, 3),
        (Behaviour(error_share=1.0), Fate.ERROR, 0),
        (Behaviour(cut_after_tokens=2), Fate.CUT, 2),
        (Behaviour(cut_after_tokens=99), Fate.CUT, 5),
        (Behaviour(reject_share=1.0, cut_after_tokens=2), Fate.REJECT, 0),
        (Behaviour(output_tokens_short_by=2), Fate.COMPLETE, 3),
        (Behaviour(output_tokens_short_by=9), Fate.COMPLETE, 0),
    ],
)
def test_faults_end_a_request_after_their_number_of_tokens(behaviour: Behaviour, fate: Fate, tokens: int) -> None:
    schedule = draw(behaviour, "r", 5)
    assert (schedule.fate, sum(schedule.chunk_tokens)) == (fate, tokens)


def test_a_share_hits_about_that_share_and_the_same_requests_each_time() -> None:
    behaviour = Behaviour(error_share=0.25, error_after_tokens=1)
    failing = [draw(behaviour, f"r{index}", 5).fate is Fate.ERROR for index in range(1000)]
    assert 180 < sum(failing) < 320
    with_cuts = Behaviour(error_share=0.25, error_after_tokens=1, cut_share=0.5, cut_after_tokens=1)
    assert failing == [draw(with_cuts, f"r{index}", 5).fate is Fate.ERROR for index in range(1000)]


def test_a_request_that_does_not_stream_gets_everything_at_the_end() -> None:
    schedule = as_one_response(draw(Behaviour(inter_token_s=0.01), "r", 5))
    assert (schedule.offsets_ns, schedule.chunk_tokens) == ([40 * MS], [5])


def test_a_slow_start_stretches_every_instant_and_loses_no_token() -> None:
    usual = draw(Behaviour(time_to_first_token_s=0.05, inter_token_s=0.01), "r", 4)
    slow = slowed(usual, 3.0)
    assert slow.offsets_ns == [150 * MS, 180 * MS, 210 * MS, 240 * MS]
    assert (slow.chunk_tokens, slow.end_offset_ns) == (usual.chunk_tokens, 240 * MS)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ('{"inter_tokens_s": 1}', "did you mean 'inter_token_s'"),
        ('{"inter_token_s": "fast"}', "inter_token_s"),
        ('{"inter_token_s": -1}', "must not be negative"),
        ('{"reject_share": 1.5}', "between 0 and 1"),
        ('{"cut_style": "slam"}', "reset, no_trailers, close"),
        ('{"stall_s": 1}', "give both"),
        ('{"tokens_per_chunk": 0}', "at least 1"),
        ('{"empty_first_chunk": 1}', "empty_first_chunk"),
        ("[1]", "not a JSON object"),
        ("{", "not JSON"),
    ],
)
def test_a_wrong_behaviour_is_refused_with_the_way_out(text: str, words: str) -> None:
    with pytest.raises(UsageError) as refused:
        from_json(text)
    assert words in str(refused.value)


def test_a_behaviour_survives_json() -> None:
    behaviour = Behaviour(
        inter_token_s=0.01, stall_at_s=1, stall_s=2, cut_style="close", claimed_input_tokens_off_by=-3
    )
    assert from_json(behaviour.to_json()) == behaviour


def test_timers_run_what_is_due_in_order_and_at_most_once_a_turn() -> None:
    timers, ran = Timers(), list[str]()

    def step(name: str, following: int | None):  # type: ignore[no-untyped-def]
        return lambda now: (ran.append(name), following)[1]

    timers.at(20, step("b", 20))
    timers.at(10, step("a", None))
    timers.at(99, step("later", None))
    timers.run_due(50, limit=10)
    assert ran == ["a", "b"]
    timers.run_due(50, limit=10)
    assert ran == ["a", "b", "b"]


def test_a_limited_turn_leaves_the_rest_for_the_next() -> None:
    timers, ran = Timers(), list[int]()
    for due in range(5):
        timers.at(due, lambda now, due=due: ran.append(due))  # type: ignore[misc]
    timers.run_due(10, limit=3)
    assert ran == [0, 1, 2]
    assert timers.next_due_ns == 3
    timers.run_due(10, limit=3)
    assert ran == [0, 1, 2, 3, 4]
