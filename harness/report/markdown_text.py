"""The pieces of a Markdown file: text that stays as it is, lists, tables, code blocks."""

from __future__ import annotations

import re
from collections.abc import Iterable


def table(heads: list[str], rows: list[list[str]], rule: list[str]) -> str:
    """A table. `rule`: `---` or `--:` of each column."""
    lines = [map(plain, heads), rule, *(map(plain, row) for row in rows)]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def bullets(items: Iterable[str]) -> str:
    """A list, one line per item."""
    return "\n".join(f"- {plain(item)}" for item in items)


def plain(text: str) -> str:
    """Text that Markdown and the HTML in it leave as it is, on one line."""
    return re.sub(r"([\\`*_{}\[\]<>#|!])", r"\\\1", " ".join(text.split()))


def fenced(text: str) -> str:
    """A code block whose fence is longer than any run of backticks in the text."""
    longest = max((len(run) for run in re.findall(r"`+", text)), default=0)
    fence = "`" * max(3, longest + 1)
    return f"{fence}\n{text}\n{fence}"
