"""An example of a locustfile with the harness's user class. Try it against a Triton of yours:

locust -f chat.py --headless -u 8 -r 8 -t 30s --host http://127.0.0.1:8001 --harness-run runs/mine
"""

from locust import between, task

from harness.drivers.locust.locustfile import TritonUser


class Chat(TritonUser):
    """Asks short questions, and now and then goes away before the answer is complete."""

    wait_time = between(0.01, 0.05)

    @task(3)
    def ask(self) -> None:
        """One question."""
        self.generate("Why is the sky blue?", output_tokens=20, name="question")

    @task(1)
    def leave(self) -> None:
        """A reader who has seen enough."""
        self.generate("Tell me a long story.", output_tokens=200, name="story", cancel_after_tokens=5)
