"""`vary`: settings of the engine that are measured at several values; every combination of them is a deployment.

Which settings an engine has, and which values go together, is the engine's own business: the plan lists what cannot be
(`harness.plan.deployments`).
"""

from __future__ import annotations

import math
from typing import Annotated, Any

from pydantic import AfterValidator, BeforeValidator, Field, StringConstraints

from harness.scenario.arrivals import without_repeats
from harness.scenario.strict import mistake

MOST_COMBINATIONS = 100

Setting = bool | int | float | str
SettingName = Annotated[str, StringConstraints(pattern=r"^[a-z][a-z0-9_]*(\.[a-z][a-z0-9_]*)*$")]


def _listed(value: Any) -> Any:
    """The short form of a list with one value."""
    return value if isinstance(value, list) else [value]


def _not_too_many(varied: dict[str, list[Setting]]) -> dict[str, list[Setting]]:
    combinations = math.prod(len(values) for values in varied.values())
    if combinations > MOST_COMBINATIONS:
        raise mistake(
            f"makes {combinations} combinations, each of which is a server to start and to measure; at most"
            f" {MOST_COMBINATIONS}: sweep over fewer values, or in steps"
        )
    return varied


Values = Annotated[
    list[Setting],
    BeforeValidator(_listed, json_schema_input_type=Setting | list[Setting]),
    AfterValidator(without_repeats),
    Field(min_length=1),
]
Vary = Annotated[dict[SettingName, Values], Field(min_length=1), AfterValidator(_not_too_many)]
