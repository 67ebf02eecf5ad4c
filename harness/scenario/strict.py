"""The base of every model that a person writes in YAML, and how its validators name the exact place of a mistake.

Unknown keys are errors, values are never converted (`"5"` is no number, `1.0` no whole one) and never change after
validation.
"""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict
from pydantic_core import PydanticCustomError


class Strict(BaseModel):
    """Unknown keys are refused, strings are not turned into numbers, instances are frozen."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True, allow_inf_nan=False)


def mistake(message: str, *at: str | int) -> PydanticCustomError:
    """The error for a validator to raise; `at` are the steps from the validated value down to the culprit."""
    return PydanticCustomError("mistake", "{message}", {"message": message, "at": at})


def refuse_same_names(names: list[str], what: str) -> None:
    """Raises a mistake at the first of `names` that stood before."""
    for index, name in enumerate(names):
        if name in names[:index]:
            raise mistake(f"each {what} needs a name of its own, {name!r} stands twice", index, "name")
