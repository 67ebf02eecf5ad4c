"""What of the engine's raw tokens a client sees, and when a request ends."""

from generation import CANCELLED, END_ID, LENGTH, STOP_WORDS, GenerationRequest, Progress, Sampling


def progress(**more: object) -> Progress:
    fields = {"input_ids": [1, 2], "max_new_tokens": 5, "arrival_ns": 100, **more}
    return Progress(GenerationRequest(**fields))  # type: ignore[arg-type]


def test_the_end_token_ends_and_is_not_shown() -> None:
    one = progress(end_id=9)
    assert one.take([4], ended=False, now_ns=200) == [4]
    assert one.take([9], ended=True, now_ns=300) == []
    assert one.finish == END_ID
    assert one.instants() == [100, 100, 200, 200]


def test_before_min_tokens_the_end_token_is_a_token() -> None:
    one = progress(end_id=9, min_new_tokens=2)
    assert one.take([9], ended=False, now_ns=1) == [9]
    assert one.finish is None


def test_a_stop_word_over_several_steps_ends_and_is_shown() -> None:
    one = progress(stop_words=[[7, 8]])
    assert [one.take([token], ended=False, now_ns=1) for token in (7, 7, 8)] == [[7], [7], [8]]
    assert one.finish == STOP_WORDS


def test_tokens_behind_the_end_of_a_step_are_dropped() -> None:
    one = progress(stop_words=[[7]])
    assert one.take([3, 7, 4], ended=False, now_ns=1) == [3, 7]


def test_length_ends_even_if_the_engine_has_not_noticed() -> None:
    one = progress(max_new_tokens=2)
    one.take([3, 4], ended=False, now_ns=1)
    assert one.finish == LENGTH


def test_instants_are_ordered_whatever_has_happened() -> None:
    one = progress()
    assert one.instants() == [100] * 4
    one.first_scheduled_ns = 150
    assert one.instants() == [100, 150, 150, 150]
    one.take([3], ended=False, now_ns=170)
    one.take([4], ended=False, now_ns=180)
    assert one.instants() == [100, 150, 170, 180]


def test_a_request_crosses_the_socket_unchanged() -> None:
    whole = GenerationRequest([1], 2, 3, 1, 7, [[4, 5]], Sampling(top_k=3, seed=2**63))
    assert GenerationRequest.from_message(whole.as_message()) == whole


def test_sampling_is_greedy_unless_asked_for() -> None:
    assert all(s.is_greedy for s in (Sampling(), Sampling(top_k=1, top_p=0.5), Sampling(temperature=0.1, seed=4)))
    assert not any(s.is_greedy for s in (Sampling(top_k=2), Sampling(top_p=0.5)))
    assert CANCELLED != LENGTH
