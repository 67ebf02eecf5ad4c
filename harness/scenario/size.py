"""`size`: the search for the highest load that meets the objectives (`harness size`)."""

from __future__ import annotations

from typing import Literal

from pydantic import Field, PositiveFloat, PositiveInt, model_validator

from harness.scenario.strict import Strict, mistake


class Size(Strict):
    """What `harness size` searches. The process of arrivals, or that the loop is closed, stands in `load`."""

    lowest: PositiveFloat = Field(description="load to begin with: requests per second, or requests in flight")
    highest: PositiveFloat = Field(description="load that is never exceeded")
    resolution: float = Field(0.05, gt=0, le=1, description="width of the interval to stop at, relative to the load")
    confidence: float = Field(0.95, gt=0.5, lt=1, description="of the test that judges a probe while searching")
    confirm_confidence: float = Field(0.99, gt=0.5, lt=1, description="of the test in the confirmations")
    confirmations: PositiveInt = Field(2, le=20, description="times that the load found must hold once more")
    most_probes: PositiveInt = Field(40, le=1000, description="probes of one configuration before it gives up")
    shortest_window_s: PositiveFloat = Field(5.0, description="no probe is shorter than this, however high its rate")
    drain_limit_s: PositiveFloat = Field(10.0, description="after a probe, answers are waited for at most this long")
    stop_above_in_flight: PositiveInt | None = Field(
        None, description="a probe with more requests in flight is stopped at once: the load does not hold"
    )
    stop_above_late: PositiveInt | None = Field(
        None,
        description="a probe of which more requests are beyond an objective's limit is stopped at once; left out: "
        "so many that the test is lost beyond doubt",
    )
    mode: Literal["objectives", "throughput", "latency"] = Field(
        "objectives",
        description="objectives: highest load that meets them; throughput: output tokens/s at `highest`, whatever the "
        "latency; latency: speed per user at `lowest`",
    )

    @model_validator(mode="after")
    def _a_range(self) -> Size:
        if self.highest <= self.lowest:
            raise mistake(f"must be above size.lowest ({self.lowest:g})", "highest")
        return self
