"""Locust users for your own locustfile: streaming requests to Triton, with TTFT and TPOT in Locust's statistics.

    from locust import task
    from harness.drivers.locust.locustfile import TritonUser

    class Chat(TritonUser):
        @task
        def ask(self):
            self.generate("Why is the sky blue?", output_tokens=64)

    locust -f chat.py --headless -u 8 -t 30s --host http://127.0.0.1:8001 --harness-run runs/mine

Locust lists each request as `grpc`, and beside it `TTFT` and `TPOT` in milliseconds. With `--harness-run FOLDER` every
request also becomes a record in that folder, as after a run of the harness: `requests.parquet` (with several worker
processes: `parts/`, which `RunFolder.requests()` merges).

Here Locust decides about load and pace. For an open loop, a measured window or exact prompt lengths use `harness run`.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, ClassVar
from urllib.parse import urlsplit

import gevent
from locust import User, events
from locust.env import Environment
from locust.exception import StopUser
from locust.runners import WorkerRunner

from harness.drivers.locust.execution import Execution
from harness.drivers.locust.fire import fire_request, fire_token_times
from harness.drivers.locust.phases import Phases
from harness.drivers.locust.pool import Pool
from harness.drivers.locust.recorder import FLUSH_EVERY_S, FinishedRequest, Identity, Recorder
from harness.drivers.locust.requests import PlannedRequest
from harness.drivers.task import Address
from harness.protocols.answer import Answer
from harness.protocols.triton_grpc import ModelContract, RequestEncoder, assumed
from harness.records.schemas import REQUESTS, request_id
from harness.records.store import PartWriter, RunFolder, requests_part_labels

POINT = "locustfile"
COUNTS = {"return_num_input_tokens": "BOOL", "return_num_output_tokens": "BOOL"}
NUMBERS_PER_WORKER = 1_000_000_000


class TritonUser(User):  # type: ignore[misc]  # Locust has no types
    """A user with `generate`. `host` is `http://HOST:PORT` of Triton's gRPC port; all users share few connections."""

    abstract = True
    model: ClassVar[str] = "ensemble"
    headers: ClassVar[dict[str, str]] = {}
    timeout_s: ClassVar[float] = 120.0
    counts_tokens: ClassVar[bool] = True  # whether the model has return_num_input_tokens and return_num_output_tokens

    def __init__(self, environment: Environment) -> None:
        super().__init__(environment)
        contract = assumed(self.model)
        inputs = {**contract.inputs, **(COUNTS if self.counts_tokens else {})}
        self._encoder = RequestEncoder(ModelContract(self.model, inputs))
        self._shared = _shared_by(environment, self._address())

    def generate(
        self, prompt: str, output_tokens: int, *, name: str = "generate", cancel_after_tokens: int | None = None
    ) -> Answer:
        """Ask and wait for the whole answer. A failure is an outcome of the answer, nothing is raised.

        `name` is the row in Locust's statistics and the workload part of the record.
        """
        index = self._shared.next_index()
        identifier = request_id(POINT, None, 0, index)
        planned = PlannedRequest(
            index=index,
            request_id=identifier,
            workload_part=name,
            tenant="default",
            session_id=None,
            turn=None,
            input_tokens=0,  # nobody asked for a length; the server's own count is in the record
            output_tokens=output_tokens,
            timeout_ns=int(self.timeout_s * 1e9),
            intended_offset_ns=None,
            think_time_ns=0,
            cancel_after_tokens=cancel_after_tokens,
            cancel_after_ns=None,
            message=self._encoder.text(identifier, prompt.encode(), output_tokens),
            input_tokens_exact=False,
        )
        return self._shared.execution.execute(planned, None).answer

    def _address(self) -> Address:
        parts = urlsplit(self.host or "")
        if not parts.hostname or not parts.port:
            raise StopUser(f"--host must look like http://127.0.0.1:8001, not {self.host!r}")
        return Address(parts.hostname, parts.port, None, dict(self.headers))


class _Shared:
    """What the users of one process share: connections, numbers, and the record sink."""

    def __init__(self, environment: Environment, address: Address) -> None:
        self._environment = environment
        self._worker = max(0, getattr(environment.runner, "worker_index", 0))
        self._next = self._worker * NUMBERS_PER_WORKER
        self._tests = 0  # started in this process: from the web page there can be several
        self._writer: PartWriter | None = None
        self._recorder: Recorder | None = None
        self.execution = Execution(Pool(address), Phases(), self._keep)
        gevent.spawn(self._flush_regularly)

    def next_index(self) -> int:
        """A number that no other request of the run has."""
        self._next += 1
        return self._next - 1

    def close(self) -> None:
        """Write what is buffered and end the part; the next test begins another one."""
        if self._recorder is not None and self._writer is not None:
            self._recorder.flush()
            self._writer.close()
        self._recorder = self._writer = None

    def _keep(self, finished: FinishedRequest) -> None:
        fire_request(self._environment, "grpc", finished)
        fire_token_times(self._environment, finished)
        folder = _run_folder(self._environment)
        if folder is not None:
            self._recorder = self._recorder or self._open(folder)
            self._recorder.add(finished)

    def _open(self, folder: RunFolder) -> Recorder:
        folder.path.mkdir(parents=True, exist_ok=True)
        labels = requests_part_labels(0, self._tests, 1, self._worker)
        self._writer = PartWriter(folder.part_path("requests", *labels), REQUESTS)
        identity = Identity(POINT, self._tests, None, self._worker)
        self._tests += 1
        return Recorder(self._writer, identity, lambda instant_ns: "window")

    def _flush_regularly(self) -> None:
        while True:
            gevent.sleep(FLUSH_EVERY_S)
            if self._recorder is not None:
                self._recorder.flush()


def _shared_by(environment: Environment, address: Address) -> _Shared:
    """The one of this environment; made by its first user."""
    shared: _Shared | None = getattr(environment, "harness_shared", None)
    if shared is None:
        shared = environment.harness_shared = _Shared(environment, address)
    return shared


def _run_folder(environment: Environment) -> RunFolder | None:
    options = environment.parsed_options
    given = getattr(options, "harness_run", "") if options is not None else ""
    return RunFolder(Path(given)) if given else None


@events.init_command_line_parser.add_listener  # type: ignore[untyped-decorator]
def _add_option(parser: Any) -> None:
    parser.add_argument("--harness-run", default="", help="folder for the records of every request")


@events.test_stop.add_listener  # type: ignore[untyped-decorator]
def _write(environment: Environment, **_: Any) -> None:
    """The last records of this process; with no other process, one sorted file of all."""
    shared: _Shared | None = getattr(environment, "harness_shared", None)
    folder = _run_folder(environment)
    if shared is None or folder is None:
        return
    shared.close()
    if not isinstance(environment.runner, WorkerRunner):
        folder.merge_requests([])
