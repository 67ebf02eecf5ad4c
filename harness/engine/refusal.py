"""Several mistakes of one place at once, and settings that are refused by name with the reason."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, TypeVar

from pydantic import ModelWrapValidatorHandler, ValidationError
from pydantic_core import ErrorDetails, InitErrorDetails, PydanticCustomError

from harness.scenario.strict import mistake

T = TypeVar("T")


def raise_all(title: str, mistakes: Iterable[PydanticCustomError]) -> None:
    """Raises all of them as one error, if there is any; for the end of a model's validator."""
    errors = [InitErrorDetails(type=each, loc=(), input=None) for each in mistakes]
    if errors:
        raise ValidationError.from_exception_data(title, errors)


def without_refused(
    title: str, raw: Any, handler: ModelWrapValidatorHandler[T], reasons: Mapping[str, str], words: str
) -> T:
    """The validated value of `raw`, unless it has keys of `reasons`: each is refused with `words`: its reason.

    For a wrap validator. A refusal does not hide the other mistakes of the same mapping.
    """
    refused = [name for name in raw if name in reasons] if isinstance(raw, dict) else []
    if not refused:
        return handler(raw)
    errors = [InitErrorDetails(type=mistake(f"{words}: {reasons[n]}", n), loc=(), input=None) for n in refused]
    try:
        handler({name: value for name, value in raw.items() if name not in refused})
    except ValidationError as error:
        errors += [_again(detail) for detail in error.errors()]
    raise ValidationError.from_exception_data(title, errors)


def _again(detail: ErrorDetails) -> InitErrorDetails:
    """An error of the inner validation, to be raised once more beside the refusals."""
    context = detail.get("ctx", {})
    if detail["type"] == "mistake":
        return InitErrorDetails(type=mistake(context["message"], *context["at"]), loc=detail["loc"], input=None)
    return InitErrorDetails(type=detail["type"], loc=detail["loc"], input=detail["input"], ctx=context)
