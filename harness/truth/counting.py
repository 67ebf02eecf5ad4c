"""How the truth server counts tokens of text, and which text stands for a number of tokens.

Without a tokenizer a token is a whitespace-separated word. With a `tokenizer.json` it is what that tokenizer makes of
the text, special tokens included.
"""

from __future__ import annotations

from pathlib import Path
from typing import Protocol

from tokenizers import Tokenizer

from harness.errors import UsageError


class TokenCounter(Protocol):
    """The rule."""

    def count(self, text: str) -> int:
        """Tokens in a prompt."""

    def write(self, position: int, tokens: int) -> str:
        """Output text of `tokens` tokens that follow `position` earlier ones."""


class Words:
    """One word, one token; each output word names its position, so that loss, repetition and order show."""

    def count(self, text: str) -> int:
        """Whitespace-separated words."""
        return len(text.split())

    def write(self, position: int, tokens: int) -> str:
        """Words ` t<position>`."""
        if tokens == 1:
            return f" t{position}"
        return "".join(f" t{index}" for index in range(position, position + tokens))


class Encoded:
    """Tokens of a Hugging Face tokenizer. Output repeats one piece that is always one token."""

    def __init__(self, path: Path) -> None:
        """Raises UsageError when the file is no tokenizer, or when no piece of its vocabulary will do."""
        try:
            self._tokenizer = Tokenizer.from_file(str(path))
        except Exception as error:  # the library raises plain Exception for everything
            raise UsageError(f"{path}: not a tokenizer ({error})", hint="give the path of a tokenizer.json") from error
        self._piece = _steady_piece(self._tokenizer)

    def count(self, text: str) -> int:
        """Tokens with special tokens, as a server counts them."""
        return len(self._tokenizer.encode(text).ids)

    def write(self, position: int, tokens: int) -> str:
        """The piece, repeated."""
        return self._piece * tokens


def counter(tokenizer: Path | None) -> TokenCounter:
    """The rule for a tokenizer file, or for none."""
    return Words() if tokenizer is None else Encoded(tokenizer)


def _steady_piece(tokenizer: Tokenizer) -> str:
    candidates = [" the", " a", " x", *sorted(tokenizer.get_vocab(), key=len)[:2000]]
    for piece in candidates:
        if all(len(tokenizer.encode(piece * times, add_special_tokens=False).ids) == times for times in (1, 2, 5)):
            return piece
    raise UsageError(
        "the tokenizer has no piece that stays one token when it is repeated",
        hint="use the truth server without a tokenizer",
    )
