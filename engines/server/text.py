"""Text to token ids and back with the model's own tokenizer.json; which id ends a text stands in config.json."""

from __future__ import annotations

import json
from pathlib import Path

from tokenizers import Tokenizer


class TextCodec:
    """Special tokens are never added to a prompt (this tokenizer has no rule for it) and never shown in an output."""

    def __init__(self, folder: str) -> None:
        self._tokenizer = Tokenizer.from_file(str(Path(folder) / "tokenizer.json"))
        self.end_of_text = int(json.loads((Path(folder) / "config.json").read_text())["eos_token_id"])

    def encode(self, text: str) -> list[int]:
        return list(self._tokenizer.encode(text).ids)

    def decode(self, tokens: list[int]) -> str:
        return str(self._tokenizer.decode(tokens, skip_special_tokens=True))
