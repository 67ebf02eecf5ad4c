"""Prompts with exactly the asked number of tokens, no two with the same beginning; or texts from a file as they are.

    unique prompt:          [special tokens] nonce body
    with shared prefixes:   [special tokens] prefix … prefix nonce body        (a prefix is itself a nonce and a body)

A prefix is salted by the point, arm, repetition and attempt as well, so that no measurement finds the cache another one
filled. Bytes are joined from prebuilt pieces, not encoded one by one; that this counts right is checked by encoding a
sample of them when the source is made. Lengths count the special tokens for text and the ids as sent for token ids.

How a driver makes a request's prompt from its row of the plan:

1. One source per repetition: `PromptSource.from_tokenizer(path, seed)` or `.without_tokenizer(seed)`, then
   `.with_files(plan.files.prompt_files(scenario, workload))` for parts whose prompts come from a file.
2. `key = PromptKey.of_row(salt, attempt, point_id, arm, repetition, row.index, row.turn)`.
3. `source.text(key, row.input_tokens, row.prompt_seed, row.prefix_ids, part=row.workload_part)`, or `.ids(…)`. Nothing
   else is needed, for any kind of workload and before anything is sent.

Sessions: all turns of one have the same key, slot and prefixes, and a body is a piece of one stream; so the prompt of a
turn begins with the whole prompt of the turn before, the words that follow there stand for its answer (`output_tokens`
of them), then comes the new text. That is the planned history.

Real replies as history: where `new_input_tokens` of the row is not null, the prompt is instead the prompt sent in the
turn before + the reply as received + `source.new_text(key, row.input_tokens, row.new_input_tokens, row.prompt_seed,
row.prefix_ids)`, or `.new_ids(…)`. It has the planned number of tokens if the reply had the asked one.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from harness.errors import UsageError
from harness.plan.body import SLOTS, IdPool, TextPool
from harness.plan.files import texts_in
from harness.plan.nonce import PromptKey, nonce, nonce_length
from harness.plan.plain_words import PLAIN_WORDS
from harness.plan.prefix import prefix_id, prefix_number, prefix_tokens
from harness.plan.tokens import WAY_OUT, find_words, load_tokenizer, ordinary_ids

__all__ = ["SAFE_IDS", "PromptKey", "PromptSource"]

SAFE_IDS = range(1000, 4000)
"""Token ids used when the vocabulary is unknown: above the special and byte tokens of the usual vocabularies, and below
the end of any with at least 4,000 tokens (an id outside the vocabulary is an error, or a crash, of the server)."""


@dataclass(frozen=True)
class Section:
    """A nonce (word ordinals) and the body after it (slot and length)."""

    nonce: list[int]
    slot: int
    body_tokens: int


@dataclass(frozen=True)
class PromptSource:
    """Makes prompts. `exact`: texts have the asked number of tokens; without a tokenizer that is not known."""

    exact: bool
    special_tokens: int
    texts: TextPool
    token_ids: IdPool
    tokenizer: Any
    files: Mapping[str, list[bytes]] = field(default_factory=dict)  # part → its texts, by row

    @staticmethod
    def from_tokenizer(path: Path, seed: int) -> PromptSource:
        """Prompts for the tokenizer in this file or folder; `seed` draws the bodies. Raises UsageError."""
        tokenizer = load_tokenizer(path)
        words = find_words(tokenizer)
        source = PromptSource(
            exact=True,
            special_tokens=words.special_tokens,
            texts=TextPool.of(seed, words.pieces, words.spelling.cut),
            token_ids=IdPool.of(seed, ordinary_ids(tokenizer)),
            tokenizer=tokenizer,
        )
        _check(source)
        return source

    @staticmethod
    def without_tokenizer(seed: int) -> PromptSource:
        """Prompts of one plain English word per asked token, or of ids from SAFE_IDS."""
        pieces = tuple(f" {word}".encode() for word in PLAIN_WORDS)
        ids = np.asarray(SAFE_IDS, dtype=np.int32)
        return PromptSource(False, 0, TextPool.of(seed, pieces, cut=1), IdPool.of(seed, ids), None)

    @property
    def smallest_input_tokens(self) -> int:
        """The shortest text that can be written: the special tokens and one word. (Of token ids: 1.)"""
        return self.special_tokens + 1

    def with_files(self, files: Mapping[str, str]) -> PromptSource:
        """A source that sends the texts of these files (part → path) as they are. Raises UsageError."""
        return replace(self, files={part: texts_in(Path(path)) for part, path in files.items()})

    def text(
        self,
        key: PromptKey,
        input_tokens: int,
        prompt_seed: int,
        prefix_ids: Sequence[int] | None = (),
        *,
        part: str | None = None,
    ) -> bytes:
        """The prompt as UTF-8. Raises UsageError when `input_tokens` leaves no room for a token of its own.

        `part` is the part of the workload; its prompt is a text of its file, if it has one, and `prompt_seed` the row.
        """
        if part is not None and part in self.files:
            return self._from_file(part, prompt_seed)
        return b"".join(self._pieces(key, input_tokens, prompt_seed, prefix_ids or ()))[self.texts.cut :]

    def ids(
        self,
        key: PromptKey,
        input_tokens: int,
        prompt_seed: int,
        prefix_ids: Sequence[int] | None = (),
        *,
        part: str | None = None,
    ) -> NDArray[np.int32]:
        """The prompt as `input_tokens` token ids, none of them special. Raises UsageError as `text` does.

        A text from a file is encoded as a server would, special tokens included; UsageError without a tokenizer.
        """
        if part is not None and part in self.files:
            return self._encoded(self._from_file(part, prompt_seed))
        parts = []
        for section in _sections(key, input_tokens, prompt_seed, prefix_ids or (), len(self.token_ids.ids)):
            parts.append(self.token_ids.ids[section.nonce])
            parts.append(self.token_ids.body(section.slot, section.body_tokens))
        return np.concatenate(parts)

    def new_text(
        self,
        key: PromptKey,
        input_tokens: int,
        new_tokens: int,
        prompt_seed: int,
        prefix_ids: Sequence[int] | None = (),
    ) -> bytes:
        """The last `new_tokens` tokens of a later turn's prompt, to be put right behind the reply before it."""
        whole = b"".join(self._pieces(key, input_tokens, prompt_seed, prefix_ids or ()))
        before = b"".join(self._pieces(key, input_tokens - new_tokens, prompt_seed, prefix_ids or ()))
        return whole[len(before) :]

    def new_ids(
        self,
        key: PromptKey,
        input_tokens: int,
        new_tokens: int,
        prompt_seed: int,
        prefix_ids: Sequence[int] | None = (),
    ) -> NDArray[np.int32]:
        """As `new_text`, as token ids."""
        return self.ids(key, input_tokens, prompt_seed, prefix_ids)[input_tokens - new_tokens :]

    def _pieces(self, key: PromptKey, input_tokens: int, prompt_seed: int, prefix_ids: Sequence[int]) -> list[bytes]:
        parts = []
        own = input_tokens - self.special_tokens
        for section in _sections(key, own, prompt_seed, prefix_ids, len(self.texts.pieces)):
            parts += [self.texts.pieces[ordinal] for ordinal in section.nonce]
            parts.append(self.texts.body(section.slot, section.body_tokens))
        return parts

    def _from_file(self, part: str, row: int) -> bytes:
        texts = self.files[part]
        if not 0 <= row < len(texts):
            raise UsageError(
                f"the prompts of part {part} have {len(texts):,} rows, row {row:,} was planned",
                hint="the file has changed since the plan was drawn: start a new run",
            )
        return texts[row]

    def _encoded(self, text: bytes) -> NDArray[np.int32]:
        if self.tokenizer is None:
            raise UsageError(
                "texts from a file cannot be sent as token ids without a tokenizer",
                hint="give `tokenizer`, or ask a model that takes text (`ensemble`)",
            )
        return np.asarray(self.tokenizer.encode(text.decode()).ids, dtype=np.int32)

    def count(self, text: bytes) -> int | None:
        """The tokens of a text, special tokens included; None without a tokenizer."""
        return None if self.tokenizer is None else len(self.tokenizer.encode(text.decode()).ids)


def _sections(key: PromptKey, tokens: int, slot: int, prefix_ids: Sequence[int], words: int) -> Iterator[Section]:
    """What a prompt of `tokens` tokens consists of, special tokens not counted."""
    longest = nonce_length(words)
    for identity in prefix_ids:
        number, length = prefix_number(identity), prefix_tokens(identity)
        tokens -= length
        size = min(longest, length)
        if size < longest and number >= words**size:
            raise UsageError(
                f"{length} tokens make only {words**size:,} different prefixes",
                hint="raise prefix_tokens, or lower prefixes",
            )
        yield Section(nonce("prefix", key, number, words, size), number % SLOTS, length - size)
    if tokens < 1:
        raise UsageError(
            f"request {key.index} of {key.point_id}: special tokens and prefix leave no token of its own",
            hint="raise min_tokens of input_tokens",
        )
    size = min(longest, tokens)
    yield Section(nonce("request", key, key.index, words, size), slot, tokens - size)


def _check(source: PromptSource) -> None:
    """Encode every body with two nonces, and some prompts of other shapes; UsageError when a count is off."""
    for index, (tokens, slot, prefix_ids) in enumerate(_samples(source.special_tokens)):
        found = source.count(source.text(PromptKey("check", 1, "check", None, 0, index), tokens, slot, prefix_ids))
        if found != tokens:
            raise UsageError(
                f"prompts of an exact length cannot be written with this tokenizer: asked {tokens} tokens, got {found}",
                hint=WAY_OUT,
            )


def _samples(special_tokens: int) -> Iterator[tuple[int, int, tuple[int, ...]]]:
    """Lengths, slots and prefixes to check."""
    for slot in range(SLOTS):
        yield special_tokens + 1 + slot % 40, slot, ()
        yield special_tokens + 64, slot, ()
    for slot, length in enumerate((1, 2, 3, 500, 4000)):
        yield special_tokens + length, slot, ()
        yield special_tokens + length + 100, slot, (prefix_id(slot, 100),)
