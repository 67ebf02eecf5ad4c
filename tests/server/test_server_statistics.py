"""The statistics message and the estimate of reused blocks."""

from engine_interface import EngineStatistics, Produced
from generation import GenerationRequest, Progress
from prefix_estimate import PrefixEstimate
from statistics_report import EVERY_NS, StatisticsReport
from test_server_admission import settings


def running(prompt: int, tokens: int) -> Progress:
    progress = Progress(GenerationRequest([5] * prompt, 100, 0))
    if tokens:
        progress.take([1] * tokens, ended=False, now_ns=1)
    return progress


def test_context_generation_and_paused_follow_from_who_got_tokens() -> None:
    report = StatisticsReport(settings(), 32)
    for serial, prompt in ((1, 10), (2, 300)):
        report.started(serial, prompt, 0)
    report.stepped([Produced(1, [7])], EngineStatistics(5, 2))
    message = report.due([running(10, 1), running(300, 0)], waiting=3, now_ns=EVERY_NS)
    assert message is not None
    assert message["request"] == {"active": 5, "max": 8, "scheduled": 2, "context": 1, "waiting": 3}
    assert message["inflight_batcher"]["total_context_tokens"] == 256  # max_num_tokens: 10 of one, 246 of the other
    assert message["inflight_batcher"]["generation_requests"] == 1
    report.stepped([Produced(2, [7])], EngineStatistics(5, 1))
    later = report.due([running(10, 1), running(300, 1)], waiting=0, now_ns=2 * EVERY_NS)
    assert later is not None
    assert later["inflight_batcher"]["total_context_tokens"] == 54
    assert later["inflight_batcher"]["paused_requests"] == 1


def test_a_prompt_that_got_no_token_of_the_iteration_was_not_scheduled() -> None:
    report = StatisticsReport(settings(), 32)  # max_num_tokens 256
    for serial in (1, 2, 3):
        report.started(serial, 200, 0)
    assert report.stepped([Produced(1, [7])], EngineStatistics(5, 2)) == {1, 2}
    assert report.stepped([Produced(1, [7]), Produced(2, [7])], EngineStatistics(5, 3)) == {1, 2, 3}


def test_it_is_sent_every_100_ms_and_once_more_when_idle_with_nothing_used() -> None:
    report = StatisticsReport(settings(), 32)
    report.stepped([], EngineStatistics(9, 1))
    assert report.due([running(10, 1)], 0, EVERY_NS) is not None
    assert report.due([running(10, 1)], 0, EVERY_NS + 1) is None
    idle = report.due([], 0, EVERY_NS + 2)
    assert idle is not None
    assert (idle["kv_cache_block"]["used"], idle["kv_cache_block"]["free"]) == (0, 128)
    assert report.due([], 0, 9 * EVERY_NS) is None
    report.repeat()
    assert report.due([], 0, 9 * EVERY_NS) is not None


def test_a_prefix_is_known_by_whole_blocks_and_never_to_its_last_token() -> None:
    estimate = PrefixEstimate(enabled=True, block_tokens=4, total_blocks=100)
    estimate.remember(list(range(12)))
    assert estimate.reused_blocks(list(range(12))) == 2
    assert estimate.reused_blocks([*range(12), 99]) == 3
    assert estimate.reused_blocks([0, 1, 2, 3, 9, 9, 9, 9, 8, 9, 10, 11, 1]) == 1
    assert estimate.reused_blocks([1, *range(12)]) == 0


def test_the_oldest_blocks_make_room_and_off_means_off() -> None:
    small = PrefixEstimate(enabled=True, block_tokens=4, total_blocks=2)
    small.remember([1] * 8)
    small.remember([2] * 8)
    assert small.reused_blocks([1] * 9) == 0
    assert small.reused_blocks([2] * 9) == 2
    off = PrefixEstimate(enabled=False, block_tokens=4, total_blocks=2)
    off.remember([1] * 8)
    assert off.reused_blocks([1] * 9) == 0
