"""What each response of a stream added to the text: the responses may hold new text only, or all text so far.

Nobody says which: `accumulate_tokens` of BLS and the LLM API repeat the whole text, the ensemble sends the new part.
And a server may repeat the prompt in front. Both are detected: by one text being the beginning of the next, and by the
answer beginning with the prompt. Texts are UTF-8; a character of which only a part was made ends as U+FFFD.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence

_HALF_A_CHARACTER = "\ufffd".encode()
SHORTEST_ECHO = 8  # bytes; a first response below it is taken for a token, not for a repeated prompt


def deltas(texts: Sequence[bytes], prompt: Callable[[], bytes]) -> tuple[list[bytes], bool]:
    """(the new text of each response, whether the prompt stood in front of it). `prompt` is only called when needed."""
    parts = _new_parts(texts) if _is_cumulative(texts) else list(texts)
    first = next((index for index, part in enumerate(parts) if part), None)
    if first is None or len(parts[first]) < SHORTEST_ECHO:
        return parts, False
    asked = prompt()
    echoed = bool(asked) and parts[first].startswith(asked)
    if echoed:
        parts[first] = parts[first][len(asked) :]
    return parts, echoed


def _is_cumulative(texts: Sequence[bytes]) -> bool:
    """Whether each text begins with the one before it, and most are longer than it.

    A token that repeats (`ha`, `ha`) begins with itself but does not grow.
    """
    said = [text for text in texts if text]
    if len(said) < 2:
        return False
    grown = 0
    for before, after in itertools.pairwise(said):
        if not after.startswith(_whole(before)):
            return False
        grown += len(after) > len(before)
    return 2 * grown >= len(said) - 1


def _new_parts(texts: Sequence[bytes]) -> list[bytes]:
    parts, known = [], 0
    for text in texts:
        whole = _whole(text)
        parts.append(whole[known:])
        known = max(known, len(whole))
    if texts[-1:] and texts[-1].endswith(_HALF_A_CHARACTER):
        parts[-1] += texts[-1][len(_whole(texts[-1])) :]  # the stream ended within a character
    return parts


def _whole(text: bytes) -> bytes:
    """Without the half characters at its end: the next response replaces them."""
    while text.endswith(_HALF_A_CHARACTER):
        text = text[: -len(_HALF_A_CHARACTER)]
    return text
