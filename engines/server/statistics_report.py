"""The statistics message behind the nv_trt_llm_* metrics: about the latest iteration, every 100 ms, and once more
when idle.

Where the library does not say, the number follows from what it did: a request without a token yet is in its context
phase, one that had tokens and got none in the last step is paused, context tokens are dealt to the prompts in order,
as the scheduler does. When nothing runs, nothing is held: the library's own cache usage would stay at its last value.
"""

from __future__ import annotations

import time

from engine_interface import EngineStatistics, Produced
from generation import Progress
from settings import Settings
from wire import Message

EVERY_NS = 100_000_000
PAGE_BYTES = 4096


class StatisticsReport:
    """Follows the steps; `due` gives the message when it is time for one."""

    def __init__(self, settings: Settings, block_tokens: int) -> None:
        self._settings = settings
        self._block_tokens = block_tokens
        self._total_blocks = settings.max_tokens_in_paged_kv_cache // block_tokens
        self._context_left: dict[int, int] = {}  # prompt tokens not yet computed, by serial number
        self._generating: set[int] = set()
        self._reused_blocks = 0
        self._paused = 0
        self._context_tokens = 0
        self._latest = EngineStatistics(used_blocks=0, scheduled_requests=0)
        self._iterations = 0
        self._sent_ns = 0
        self._idle_sent = False

    def started(self, serial: int, prompt_tokens: int, reused_blocks: int) -> None:
        self._context_left[serial] = prompt_tokens - reused_blocks * self._block_tokens
        self._reused_blocks += reused_blocks

    def ended(self, serial: int) -> None:
        self._context_left.pop(serial, None)
        self._generating.discard(serial)

    def stepped(self, produced: list[Produced], latest: EngineStatistics) -> set[int]:
        """The serial numbers of those that had a part in the step. Before `ended` for those that ended in it."""
        advanced = {outcome.key for outcome in produced if outcome.tokens}
        self._paused = len(self._generating - advanced)
        budget = self._settings.max_num_tokens - len(advanced & self._generating)
        dealt = self._deal(budget, advanced)
        self._context_tokens = sum(dealt.values())
        self._generating |= advanced & self._context_left.keys()
        for serial in advanced:
            self._context_left.pop(serial, None)
        self._latest = latest
        self._iterations += 1
        return advanced | {serial for serial, part in dealt.items() if part}

    def _deal(self, budget: int, advanced: set[int]) -> dict[int, int]:
        """Prompt tokens computed in this step: all that was left of those that got their first token, else by order."""
        dealt: dict[int, int] = {}
        for serial, left in self._context_left.items():
            part = left if serial in advanced else min(left, max(0, budget))
            self._context_left[serial] = left - part
            dealt[serial] = part
            budget -= part
        return dealt

    def repeat(self) -> None:
        """Send again though nothing has changed: a model has just connected."""
        self._idle_sent = False

    def due(self, running: list[Progress], waiting: int, now_ns: int) -> Message | None:
        """The message, if 100 ms have passed or the last request has just ended."""
        idle = not running and not waiting
        if (idle and self._idle_sent) or (not idle and now_ns - self._sent_ns < EVERY_NS):
            return None
        self._sent_ns, self._idle_sent = now_ns, idle
        return self._message(running, waiting)

    def _message(self, running: list[Progress], waiting: int) -> Message:
        active = len(running) + waiting
        scheduled = min(self._latest.scheduled_requests, len(running))
        used = self._latest.used_blocks if running else 0
        return {
            "type": "statistics",
            "request": {
                "active": active,
                "max": self._settings.max_batch_size,
                "scheduled": scheduled,
                "context": sum(progress.first_token_ns is None for progress in running),
                "waiting": active - scheduled,
            },
            "kv_cache_block": {
                "max": self._total_blocks,
                "free": self._total_blocks - used,
                "used": used,
                "tokens_per": self._block_tokens,
                "fraction": used / self._total_blocks,
                "reused": self._reused_blocks,
            },
            "inflight_batcher": {
                "total_context_tokens": self._context_tokens if running else 0,
                "generation_requests": sum(progress.first_token_ns is not None for progress in running),
                "micro_batch_id": 0,
                "paused_requests": self._paused if running else 0,
            },
            "general": {"timestamp": time.time_ns() // 1000, "iteration_counter": self._iterations},
            "runtime_memory": {"cpu": _resident_bytes(), "gpu": self._latest.gpu_bytes, "pinned": 0},
        }


def _resident_bytes() -> int:
    with open("/proc/self/statm") as statm:
        return int(statm.read().split()[1]) * PAGE_BYTES
