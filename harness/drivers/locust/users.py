"""The Locust user classes. A user waits at the barrier, then lives off the shared plan until the repetition is over."""

from __future__ import annotations

from typing import ClassVar

import gevent
from locust import User, constant, task
from locust.exception import StopUser

from harness.drivers.locust.execution import Execution, back_off_s
from harness.drivers.locust.recorder import FinishedRequest


class ClosedLoopUser(User):  # type: ignore[misc]  # Locust has no types
    """Sends the next planned request as soon as the last one is done; backs off after failures."""

    wait_time = constant(0)
    host: ClassVar[str] = ""

    @task  # type: ignore[untyped-decorator]
    def live(self) -> None:
        """The whole life of the user: one task, so that Locust adds nothing between two requests."""
        execution: Execution = self.environment.execution
        execution.start.wait()
        failures = 0
        while (planned := execution.next_number()) is not None:
            finished = execution.execute(planned)
            self._fire(finished)
            failures = 0 if finished.answer.outcome == "ok" else failures + 1
            if failures:
                gevent.sleep(back_off_s(failures))
        raise StopUser

    def _fire(self, finished: FinishedRequest) -> None:
        """Locust's own event, for its statistics and for anybody's listeners."""
        answer = finished.answer
        self.environment.events.request.fire(
            request_type="grpc",
            name=finished.planned.workload_part,
            response_time=(answer.done_ns - finished.sent_ns) / 1e6,
            response_length=len(answer.text),
            exception=None if answer.outcome == "ok" else RuntimeError(answer.error or answer.outcome),
            context={},
        )
