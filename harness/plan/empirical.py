"""Reads the CSV files that empirical lengths name, so that everything after it is a pure function of the scenario."""

from __future__ import annotations

from harness.errors import UsageError
from harness.scenario.schema import Scenario
from harness.scenario.surroundings import lengths_in
from harness.scenario.workload import AnyLengths, Empirical, Part


def with_files_read(scenario: Scenario) -> Scenario:
    """The scenario with every empirical `file` (as the loader resolved it) replaced by the lengths in it.

    Raises UsageError when a file has gone or changed for the worse since the scenario was loaded.
    """
    workloads = [
        workload.model_copy(update={"parts": [_part(part) for part in workload.parts]})
        for workload in scenario.workload
    ]
    return scenario.model_copy(update={"workload": workloads})


def _part(part: Part) -> Part:
    return part.model_copy(
        update={"input_tokens": _lengths(part.input_tokens), "output_tokens": _lengths(part.output_tokens)}
    )


def _lengths(lengths: AnyLengths) -> AnyLengths:
    if not isinstance(lengths, Empirical) or lengths.file is None or lengths.column is None:
        return lengths
    try:
        tokens = lengths_in(lengths.file, lengths.column)
    except ValueError as error:  # what validators raise
        raise UsageError(f"{lengths.file}: {error}") from error
    return Empirical(distribution="empirical", tokens=tokens)
