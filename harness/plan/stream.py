"""The streams of a point: who sends requests, when, and what was recorded of them. One, or one per tenant."""

from __future__ import annotations

from dataclasses import dataclass

from harness.plan.arrivals import first_row
from harness.scenario.arrivals import Arrivals, TraceArrivals, rate_levels
from harness.scenario.load import ClosedLoop, MultiTenant, OpenLoop
from harness.scenario.schema import Scenario
from harness.scenario.trace_file import TraceRow

ONE_TENANT = "default"


@dataclass(frozen=True)
class Stream:
    """One tenant's requests. `qualifiers` tell its seeds from those of other tenants; empty where there is only one."""

    tenant: str = ONE_TENANT
    ordinal: int = 0
    parts: frozenset[str] | None = None  # names of the parts asked; None: all
    qualifiers: tuple[str, ...] = ()
    arrivals: Arrivals | None = None  # None: a closed loop
    rate: float = 0.0  # of a process with levels

    @property
    def recorded(self) -> tuple[TraceRow, ...]:
        """The rows of the trace that is replayed, from the first arrival on; empty for other processes."""
        if not isinstance(self.arrivals, TraceArrivals) or self.arrivals.trace is None:
            return ()
        return self.arrivals.trace.rows[first_row(self.arrivals) :]

    @property
    def block_tokens(self) -> int:
        """Tokens of one recorded prefix block."""
        return self.arrivals.block_tokens if isinstance(self.arrivals, TraceArrivals) else 0


CLOSED = Stream()


def streams(scenario: Scenario, rate: float | None) -> list[Stream]:
    """The streams of one point; `rate` is its level, None where the load has none."""
    match scenario.load:
        case ClosedLoop():
            return [CLOSED]
        case OpenLoop(arrivals=arrivals):
            return [Stream(arrivals=arrivals, rate=rate if rate is not None else only_rate(arrivals))]
        case MultiTenant(tenants=tenants):
            return [
                Stream(
                    tenant=tenant.name,
                    ordinal=ordinal,
                    parts=frozenset(tenant.parts) if tenant.parts is not None else None,
                    qualifiers=("tenant", tenant.name),
                    arrivals=tenant.arrivals,
                    rate=only_rate(tenant.arrivals),
                )
                for ordinal, tenant in enumerate(tenants)
            ]


def only_rate(arrivals: Arrivals) -> float:
    """The rate of a process that has one level; 0 for one whose rates are no levels."""
    return (rate_levels(arrivals) or [0.0])[0]
