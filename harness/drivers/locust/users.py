"""The Locust user class that carries the load. Users stay alive for the whole run: between two repetitions they wait.

They are not stopped and started per repetition, because a distributed Locust forgets workers that stopped.
"""

from __future__ import annotations

from typing import ClassVar

from locust import User, constant, task


class PlanUser(User):  # type: ignore[misc]  # Locust has no types
    """Takes part in one repetition after the other, as long as there is a seat for it."""

    wait_time = constant(0)
    host: ClassVar[str] = ""

    @task  # type: ignore[untyped-decorator]
    def live(self) -> None:
        """The whole life of the user: one task, so that Locust adds nothing between two requests."""
        worker = self.environment.harness_worker
        while True:
            worker.next_share().take_part()
