"""Who is rejected, who waits, who runs."""

import pytest
from admission import Admission, clamped, objection
from generation import GenerationRequest, Progress
from hypothesis import given
from hypothesis import strategies as st
from settings import Settings
from test_server_settings import GIVEN

BLOCK = 32


def settings(**changed: str) -> Settings:
    return Settings.parse({**GIVEN, **changed})


def request(prompt: int, output: int, **more: object) -> GenerationRequest:
    return GenerationRequest(input_ids=[5] * prompt, max_new_tokens=output, arrival_ns=0, **more)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("wrong", "words"),
    [
        (request(0, 5), "input_ids is empty"),
        (request(1024, 5), r"Prompt length (1024) exceeds maximum input length (1023). Set log level to info"),
        (request(5, 0), "request_output_len must be at least 1"),
        (request(5, 5, end_id=4096), "EndId (4096) is not within acceptable range [-1, 4096)"),
        (request(5, 5, end_id=-2), "EndId (-2) is not within acceptable range [-1, 4096)"),
        (GenerationRequest([4096], 5, 0), "outside [0, 4096)"),
    ],
)
def test_a_request_the_executor_would_refuse_is_refused_in_its_words(wrong: GenerationRequest, words: str) -> None:
    assert words in str(objection(wrong, settings(), 4096))


def test_a_fitting_request_is_accepted_and_a_too_long_output_is_cut() -> None:
    assert objection(request(1023, 5000), settings(), 4096) is None
    assert clamped(request(1000, 5000), settings()).max_new_tokens == 24
    assert clamped(request(1000, 24), settings()).max_new_tokens == 24


def admit(admission: Admission[int], running: list[Progress]) -> list[int]:
    admitted = admission.admit(running)
    running += [progress for _, progress in admitted]
    return [key for key, _ in admitted]


def queue_of(admission: Admission[int], requests: list[GenerationRequest]) -> None:
    for key, one in enumerate(requests):
        admission.enqueue(key, Progress(one))


def test_no_more_than_max_batch_size_run() -> None:
    admission: Admission[int] = Admission(settings(max_batch_size="2"), BLOCK)
    queue_of(admission, [request(5, 5)] * 3)
    running: list[Progress] = []
    assert admit(admission, running) == [0, 1]
    assert admit(admission, running) == []
    running.pop()
    assert admit(admission, running) == [2]


def test_guaranteed_no_evict_sets_the_whole_output_aside_and_keeps_the_order() -> None:
    admission: Admission[int] = Admission(settings(max_tokens_in_paged_kv_cache="1024"), BLOCK)
    queue_of(admission, [request(32, 600), request(32, 600), request(1, 1)])
    assert admit(admission, []) == [0]  # the small one behind the big one waits too


def test_max_utilization_asks_only_for_the_prompt() -> None:
    spare = {"max_tokens_in_paged_kv_cache": "1024", "batch_scheduler_policy": "max_utilization"}
    admission: Admission[int] = Admission(settings(**spare), BLOCK)
    queue_of(admission, [request(320, 600)] * 4)
    assert admit(admission, []) == [0, 1, 2]


def test_a_withdrawn_request_never_runs() -> None:
    admission: Admission[int] = Admission(settings(), BLOCK)
    queue_of(admission, [request(5, 5)] * 3)
    assert admission.withdraw(1) is not None
    assert admission.withdraw(1) is None
    assert admit(admission, []) == [0, 2]


@given(st.lists(st.tuples(st.integers(1, 1000), st.integers(1, 1000)), min_size=1, max_size=30))
def test_everybody_runs_in_the_end_and_the_cache_is_never_promised_twice(sizes: list[tuple[int, int]]) -> None:
    limits = settings(max_tokens_in_paged_kv_cache="2048")
    admission: Admission[int] = Admission(limits, BLOCK)
    queue_of(admission, [clamped(request(prompt, output), limits) for prompt, output in sizes])
    running: list[Progress] = []
    order: list[int] = []
    while len(admission) or running:
        order += admit(admission, running)
        held = sum(-(-(len(p.request.input_ids) + p.request.max_new_tokens) // BLOCK) for p in running)
        assert 0 < held <= 2048 // BLOCK
        running.pop(0)
    assert order == list(range(len(sizes)))


@pytest.mark.parametrize(("limit", "full"), [("0", False), ("2", True), ("3", False)])
def test_the_queue_is_full_when_as_many_wait_as_may_and_never_without_a_limit(limit: str, full: bool) -> None:
    admission: Admission[int] = Admission(settings(max_queue_size=limit), BLOCK)
    queue_of(admission, [request(5, 5)] * 2)
    assert admission.is_full is full
