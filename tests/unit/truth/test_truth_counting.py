"""The two rules by which the truth server counts tokens of text."""

from __future__ import annotations

from pathlib import Path

import pytest
from tokenizers import Tokenizer
from tokenizers.models import WordLevel
from tokenizers.pre_tokenizers import Whitespace
from tokenizers.processors import TemplateProcessing

from harness.errors import UsageError
from harness.truth.counting import Words, counter


def saved_tokenizer(folder: Path) -> Path:
    """A word-level tokenizer that puts one special token before every text."""
    tokenizer = Tokenizer(WordLevel({"<s>": 0, "[UNK]": 1, "the": 2}, unk_token="[UNK]"))
    tokenizer.pre_tokenizer = Whitespace()
    tokenizer.post_processor = TemplateProcessing(single="<s> $A", special_tokens=[("<s>", 0)])
    path = folder / "tokenizer.json"
    tokenizer.save(str(path))
    return path


def test_without_a_tokenizer_words_are_counted_and_written() -> None:
    assert Words().count(" one  two\nthree ") == 3
    assert Words().write(8, 3) == " t8 t9 t10"
    assert Words().count(Words().write(0, 50)) == 50


def test_a_tokenizer_counts_special_tokens_in_prompts_and_writes_exact_lengths(tmp_path: Path) -> None:
    path = saved_tokenizer(tmp_path)
    rule = counter(path)
    assert rule.count("the cat") == 3
    text = "".join(rule.write(position, 1) for position in range(40))
    assert len(Tokenizer.from_file(str(path)).encode(text, add_special_tokens=False).ids) == 40


def test_a_file_that_is_no_tokenizer_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "tokenizer.json"
    path.write_text("{}")
    with pytest.raises(UsageError, match="not a tokenizer"):
        counter(path)
