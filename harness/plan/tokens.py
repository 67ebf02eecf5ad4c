"""Words of a tokenizer that are one token each and stay so side by side: text concatenation = token concatenation.

Found by trying, not by knowing the tokenizer's kind: candidates are the ASCII letter strings of its vocabulary, three
spellings are tried (words joined by one space; a space before every word; no space at all), and what does not survive
random chains of words is dropped. Byte-level BPE, Metaspace BPE and Unigram, WordPiece all pass one of the spellings.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from tokenizers import Tokenizer

from harness.errors import UsageError
from harness.plan.seeds import derive, permutation

WAY_OUT = (
    "ask the token-id model (`tensorrt_llm`), or leave `tokenizer` out: lengths are then as the server counts them"
)

FEWEST_WORDS = 16
MOST_CANDIDATES = 32_768  # of the lowest ids: trying each takes some ten microseconds
ENOUGH_WORDS = 1024  # with so many, the first spelling that has them is taken
CHAIN_WORDS = 64
CLEAN_ROUNDS = 3
MOST_ROUNDS = 20

_MARKS = re.compile(r"^[Ġ▁]|</w>$")
_LETTERS = re.compile(r"[A-Za-z]+")
_CONTROL = re.compile(r"^[<\[].+[>\]]$")


@dataclass(frozen=True)
class Spelling:
    """How words become text: `separator` before each word, then the first `cut` bytes of the whole text are dropped."""

    separator: str
    cut: int

    def write(self, words: list[str]) -> str:
        """The words as text."""
        return "".join([self.separator + word for word in words])[self.cut :]


# Words joined by one space come first: a server that strips its input then changes nothing.
SPELLINGS = (Spelling(" ", 1), Spelling(" ", 0), Spelling("", 0))


@dataclass(frozen=True)
class Vocabulary:
    """Words that are one token each. `special_tokens` is what the tokenizer adds to every text."""

    words: tuple[str, ...]
    spelling: Spelling
    special_tokens: int

    @property
    def pieces(self) -> tuple[bytes, ...]:
        """Each word as the bytes it adds to a text."""
        return tuple((self.spelling.separator + word).encode() for word in self.words)


def load_tokenizer(path: Path) -> Tokenizer:
    """The tokenizer of a `tokenizer.json`, or of a folder with one. Raises UsageError when there is none."""
    file = path / "tokenizer.json" if path.is_dir() else path
    if not file.is_file():
        raise UsageError(
            f"{file}: no such tokenizer file",
            hint="give the model's tokenizer.json, or the folder that holds it; a tokenizer.model must be converted",
        )
    try:
        tokenizer = Tokenizer.from_file(str(file))
    except Exception as error:  # the library raises plain Exception for everything
        raise UsageError(f"{file}: not a tokenizer ({error})", hint="give the path of a tokenizer.json") from error
    tokenizer.no_truncation()  # a file may carry settings of its training; servers count whole texts
    tokenizer.no_padding()
    return tokenizer


def ordinary_ids(tokenizer: Tokenizer) -> NDArray[np.int32]:
    """All token ids but special, added and control tokens, in rising order."""
    added = {token.content for token in tokenizer.get_added_tokens_decoder().values()}
    unknown = getattr(tokenizer.model, "unk_token", None)
    return np.asarray(
        sorted(
            number
            for token, number in tokenizer.get_vocab(with_added_tokens=True).items()
            if token not in added and token != unknown and not _CONTROL.match(token)
        ),
        dtype=np.int32,
    )


def find_words(tokenizer: Tokenizer) -> Vocabulary:
    """The words to write prompts with. Raises UsageError when the tokenizer has too few."""
    candidates = _candidates(tokenizer)
    best: tuple[list[str], Spelling] = ([], SPELLINGS[0])
    for spelling in SPELLINGS:
        words = _additive(tokenizer, spelling, candidates)
        if len(words) > len(best[0]):
            best = (words, spelling)
        if len(words) >= ENOUGH_WORDS:
            break
    words, spelling = best
    if len(words) < FEWEST_WORDS:
        raise UsageError(
            f"the tokenizer has only {len(words)} words that stay one token each in a text, {FEWEST_WORDS} are needed:"
            " prompts of an exact length cannot be written with it",
            hint=WAY_OUT,
        )
    return Vocabulary(tuple(words), spelling, _special_tokens(tokenizer, words, spelling))


def _candidates(tokenizer: Tokenizer) -> list[str]:
    by_id = sorted(tokenizer.get_vocab(with_added_tokens=False).items(), key=lambda item: item[1])
    words = (_MARKS.sub("", token) for token, _ in by_id)
    return list(dict.fromkeys(word for word in words if _LETTERS.fullmatch(word)))[:MOST_CANDIDATES]


def _additive(tokenizer: Tokenizer, spelling: Spelling, candidates: list[str]) -> list[str]:
    """The candidates that stay one token each in random chains; empty when they never come to rest."""
    following = _tokens_after_another(tokenizer, spelling, candidates)
    clean = 0
    for attempt in range(MOST_ROUNDS):
        words = list(following)
        order = permutation(derive(attempt, "prompts", "chains"), len(words)).tolist()
        shuffled = [words[i] for i in order]
        misfits = {word for chain in _chains(shuffled) for word in _misfits(tokenizer, spelling, chain, following)}
        following = {word: token for word, token in following.items() if word not in misfits}
        clean = 0 if misfits else clean + 1
        if clean == CLEAN_ROUNDS:
            return list(following)
    return []


def _tokens_after_another(tokenizer: Tokenizer, spelling: Spelling, candidates: list[str]) -> dict[str, int]:
    """For each word that is one token at the start and after itself: the id it has in the middle of a text.

    Words that come to the same token (by lower case, or as unknown) count once, or two nonces could be one.
    """
    found: dict[int, str] = {}
    for word in candidates:
        ids = _encode(tokenizer, spelling.write([word, word]))
        if len(ids) == 2 and ids[1] not in found and len(_encode(tokenizer, spelling.write([word]))) == 1:
            found[ids[1]] = word
    return {word: token for token, word in found.items()}


def _chains(words: list[str]) -> list[list[str]]:
    return [words[start : start + CHAIN_WORDS] for start in range(0, len(words), CHAIN_WORDS)]


def _misfits(tokenizer: Tokenizer, spelling: Spelling, chain: list[str], following: dict[str, int]) -> list[str]:
    """The words around the first place where the chain's tokens are not its words' tokens: one of them is to blame."""
    ids, expected = _encode(tokenizer, spelling.write(chain)), [following[word] for word in chain]
    if len(ids) == len(expected) and ids[1:] == expected[1:]:
        return []
    place = next((i for i in range(1, min(len(ids), len(expected))) if ids[i] != expected[i]), 1)
    return chain[place - 1 : place + 2]


def _special_tokens(tokenizer: Tokenizer, words: list[str], spelling: Spelling) -> int:
    """How many tokens the post-processor adds; the same for every text, or UsageError."""
    texts = [spelling.write(words[:length]) for length in (1, 2, FEWEST_WORDS)]
    added = {len(tokenizer.encode(text).ids) - len(_encode(tokenizer, text)) for text in texts}
    if len(added) > 1:
        raise UsageError("the tokenizer adds a different number of special tokens to different texts")
    return added.pop()


def _encode(tokenizer: Any, text: str) -> list[int]:
    ids: list[int] = tokenizer.encode(text, add_special_tokens=False).ids
    return ids
