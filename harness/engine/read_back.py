"""Reading a built engine back where the harness is not: a script for the Python of NVIDIA's container.

It knows of one spec only: what its `config.json` must say, and how many ranks there must be. What a file does not tell
is no difference, as in `engine.inspect`. Pure.
"""

from __future__ import annotations

import json
from typing import Any

from harness.engine.classic import ClassicEngine
from harness.engine.inspect import (
    AUTOMATIC,
    BUILD_CONFIG,
    MAPPING,
    MODEL_CONFIG,
    PLUGIN_CONFIG,
    expected_of_engine,
    plain,
)

PLACES: dict[str, tuple[str, ...]] = {
    **dict.fromkeys(BUILD_CONFIG, ("build_config",)),
    **dict.fromkeys(PLUGIN_CONFIG, ("build_config", "plugin_config")),
    **dict.fromkeys(MODEL_CONFIG, ("pretrained_config",)),
    **dict.fromkeys(MAPPING, ("pretrained_config", "mapping")),
    **dict.fromkeys(("quant_algo", "kv_cache_quant_algo"), ("pretrained_config", "quantization")),
    "version": (),
}
SCRIPT = '''\
import json, pathlib, sys

CHECKS = json.loads("""{checks}""")
RANKS = {ranks}

def plain(value):
    if isinstance(value, list):
        value = ",".join(map(str, value))
    if isinstance(value, str):
        text = value.rpartition(".")[2].lower() if value.startswith("KVCacheType.") else value.lower()
        number = float(text) if text.isdigit() else text
        return dict(enable=True, disable=False, true=True, false=False).get(text, number)
    return False if value is None else value

folder = pathlib.Path(sys.argv[1])
config = json.loads((folder / "config.json").read_text())
wrong = []
for name, place, allowed in CHECKS:
    part = config
    for key in place:
        part = part.get(key) or dict()
    if name in part and plain(part[name]) not in allowed:
        wrong.append(f"{{name}} is {{part[name]}}, the spec says {{allowed[0]}}")
ranks = len(list(folder.glob("rank*.engine")))
if ranks != RANKS:
    wrong.append(f"{{ranks}} ranks, the spec says {{RANKS}}")
for line in wrong:
    print("not what the spec says:", line)
sys.exit(bool(wrong))
'''


def checks(spec: ClassicEngine) -> list[tuple[str, tuple[str, ...], list[Any]]]:
    """(name, where it stands in config.json, values that are right) of everything the spec says of an engine."""
    found = []
    for name, value in expected_of_engine(spec).items():
        if name not in PLACES or (isinstance(value, str | None) and value in AUTOMATIC):
            continue
        choices = value if isinstance(value, tuple) else (value,)
        found.append((name, PLACES[name], [plain(choice) for choice in choices]))
    return found


def script(spec: ClassicEngine) -> str:
    """Python's text; its argument is the engine's folder, and it ends with 1 where that is not what the spec says."""
    return SCRIPT.format(checks=json.dumps(checks(spec)), ranks=spec.world_size)
