"""What NVIDIA's fill_template.py does with a template, told again from its description (trtllm.md §2.2).

`k1:v1,k2:v2`, cut first at `,` and then at `:`; at each cut a backslash takes the next character for text, so that a
`:` in a value needs two of them. Each key has to occur in the file; max_queue_size and max_queue_delay_microseconds are
0 unless given; what nobody gave stays as `${name}`.
"""

from __future__ import annotations

import re
from collections.abc import Mapping

SEEDS = {"max_queue_size": "0", "max_queue_delay_microseconds": "0"}


def filled(template: str, pairs: str) -> str:
    given = dict(SEEDS)
    for pair in _cut(pairs, ","):
        key, value = _cut(pair, ":")
        assert key in template, f"key {key!r} does not exist in the file"
        given[key] = value
    return re.sub(r"\$\{(\w+)\}", lambda found: given.get(found[1], found[0]), template)


def as_pairs(values: Mapping[str, str]) -> str:
    pairs = (f"{_escaped(key, ':')}:{_escaped(value, ':')}" for key, value in values.items())
    return ",".join(_escaped(pair, ",") for pair in pairs)


def _cut(text: str, mark: str) -> list[str]:
    parts = re.findall(rf"(?:^|{mark})((?:[^{mark}\\]|\\.)*)", text, flags=re.DOTALL)
    return [re.sub(r"\\(.)", r"\1", part, flags=re.DOTALL) for part in parts]


def _escaped(text: str, mark: str) -> str:
    return re.sub(rf"([\\{mark}])", r"\\\1", text)
