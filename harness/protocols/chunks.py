"""The responses of one answer, and what they add up to: the last step of every protocol's decoding.

Chunks are responses that carry output, each with the instant of the `recv` that brought it. A count is the server's
own, the length of the ids received, or, where nobody counts, an assumption: one token for any new text.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

from harness.protocols.answer import Answer
from harness.protocols.deltas import deltas

SERVER_INSTANTS = {
    "arrival_time_ns": "server_arrival_ns",
    "first_scheduled_time_ns": "server_first_scheduled_ns",
    "first_token_time_ns": "server_first_token_ns",
    "last_token_time_ns": "server_last_token_ns",
}
"""Output of TensorRT-LLM's perf metrics → column of a record."""


class Chunks:
    """Collects them in order."""

    def __init__(self) -> None:
        self.stamps: list[int] = []
        self.input_tokens: int | None = None  # as the server counts them
        self.total_tokens: int | None = None  # output tokens of the whole answer, where the server says only that
        self._texts: list[bytes] = []
        self._counts: list[int | None] = []
        self._times: dict[str, int] = {}
        self._by_server = self._are_ids = False

    def take(
        self, stamp: int, content: bytes, tokens: int | None, *, by_server: bool = False, ids: bool = False
    ) -> None:
        """One response: its text (or its ids, as raw bytes), and its tokens where they are counted."""
        self.stamps.append(stamp)
        self._texts.append(content)
        self._counts.append(tokens)
        self._by_server |= by_server
        self._are_ids |= ids

    @property
    def tokens_so_far(self) -> int:
        """Output tokens, as far as can be said before the answer is over."""
        responses = zip(self._texts, self._counts, strict=True)
        return sum(int(bool(text)) if count is None else count for text, count in responses)

    def take_times(self, instants: Mapping[str, int]) -> None:
        """Instants of the server's clock, by output name."""
        self._times |= {SERVER_INSTANTS[name]: value for name, value in instants.items()}

    def answer(
        self, outcome: str, error: str | None, done_ns: int, *, streamed: bool, prompt: Callable[[], bytes]
    ) -> Answer:
        """What all of it adds up to. `prompt` gives the text or ids that were asked; it is called only when needed."""
        texts = self._texts
        if self._are_ids:
            echoed = not streamed and self._drop_echoed_ids(prompt)
        else:
            texts, echoed = deltas(texts, prompt)
            if echoed and not streamed:
                self._drop_echoed_count()
        counted = any(count is not None for count in self._counts) or self.total_tokens is not None
        tokens = [int(bool(text)) if count is None else count for text, count in zip(texts, self._counts, strict=True)]
        by_server = sum(tokens) if self._by_server else None
        return Answer(
            outcome=outcome,
            error=error,
            done_ns=done_ns,
            chunk_stamps_ns=self.stamps if streamed else [],
            chunk_tokens=tokens if streamed else [],
            tokens_counted=counted,
            text=b"" if self._are_ids else b"".join(texts),
            output_ids=b"".join(texts)[len(prompt()) if echoed else 0 :] if self._are_ids else b"",
            input_tokens_server=self.input_tokens,
            output_tokens_server=self.total_tokens if self.total_tokens is not None else by_server,
            output_tokens_client=sum(tokens) if self._are_ids and by_server is None else None,
            **self._times,
        )

    def _drop_echoed_ids(self, prompt: Callable[[], bytes]) -> bool:
        """An answer that is not streamed may begin with the prompt, and its length then counts it."""
        asked, first = prompt(), self._texts[0] if self._texts else b""
        if not asked or len(first) <= len(asked) or not first.startswith(asked):
            return False
        self._counts[0] = (self._counts[0] or 0) - len(asked) // 4
        return True

    def _drop_echoed_count(self) -> None:
        """TensorRT-LLM counts a prompt that is repeated in an answer in `num_output_tokens`, unless it streams."""
        first, asked = self._counts[0] if self._counts else None, self.input_tokens
        if first is not None and asked is not None and first > asked:
            self._counts[0] = first - asked
