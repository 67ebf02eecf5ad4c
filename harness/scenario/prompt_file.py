"""Reads prompts from a file: texts that are sent as they are.

JSONL with one object per line, or one JSON list of such objects (ShareGPT). An object has

- `prompt`, or `text`: the text; beside it, if known, `answer` (a text) or `output_tokens` (a number): the answer;
- or a conversation: `conversations` with `from` and `value` (ShareGPT), or `messages` with `role` and `content`. Its
  first turn of the person is the prompt, what follows is the answer; one that a person does not begin is left out.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from harness.scenario.strict import mistake

FORMATS = "JSONL with `prompt`, or a JSON list of ShareGPT `conversations`"
_PERSON = ("human", "user")


@dataclass(frozen=True, slots=True)
class PromptRow:
    """A text to send, and what is known of its answer."""

    text: str
    answer: str | None = None
    output_tokens: int | None = None


def read_prompts(file: Path) -> list[PromptRow]:
    """Every prompt of a file, in its order. Raises a mistake that names what is wrong, with its line or entry."""
    try:
        text = file.read_text(encoding="utf-8-sig")
    except (UnicodeDecodeError, OSError) as error:
        raise mistake(f"{file.name} cannot be read: {error}") from error
    rows = [row for place, record in _records(text) if (row := _row(record, place)) is not None]
    if not rows:
        raise mistake(f"{file.name} has no prompts; a file of prompts is {FORMATS}")
    return rows


def _records(text: str) -> Iterator[tuple[str, Any]]:
    if text.lstrip().startswith("["):
        try:
            yield from ((f"entry {number}", record) for number, record in enumerate(json.loads(text), start=1))
        except json.JSONDecodeError as error:
            raise mistake(f"line {error.lineno} of the file is no JSON: {error.msg}") from error
        return
    for number, line in enumerate(text.split("\n"), start=1):
        if line.strip():
            try:
                yield f"line {number}", json.loads(line)
            except json.JSONDecodeError as error:
                raise mistake(f"line {number} of the file is no JSON: {error.msg}") from error


def _row(record: Any, place: str) -> PromptRow | None:
    if not isinstance(record, dict):
        raise mistake(f"{place} of the file is no JSON object; a file of prompts is {FORMATS}")
    for turns, who, what in (("conversations", "from", "value"), ("messages", "role", "content")):
        if turns in record:
            return _of_conversation(record[turns], who, what, place)
    text = record.get("prompt", record.get("text"))
    if not isinstance(text, str) or not text:
        raise mistake(
            f"{place} of the file has no text in `prompt`; it has: {', '.join(map(str, record)) or 'nothing'}"
        )
    answer, tokens = record.get("answer"), record.get("output_tokens")
    if tokens is not None and (isinstance(tokens, bool) or not isinstance(tokens, int) or tokens < 1):
        raise mistake(f"{place} of the file: output_tokens is {tokens!r}, but lengths are whole numbers above 0")
    return PromptRow(text, answer if isinstance(answer, str) and answer else None, tokens)


def _of_conversation(turns: Any, who: str, what: str, place: str) -> PromptRow | None:
    if not isinstance(turns, list) or not all(isinstance(turn, dict) for turn in turns):
        raise mistake(f"{place} of the file: its conversation is no list of objects")
    spoken = [turn for turn in turns if turn.get(who) != "system"]
    if not spoken or spoken[0].get(who) not in _PERSON or not isinstance(spoken[0].get(what), str):
        return None
    text = spoken[0][what]
    answer = spoken[1].get(what) if len(spoken) > 1 and spoken[1].get(who) not in _PERSON else None
    return PromptRow(text, answer if isinstance(answer, str) and answer else None) if text else None
