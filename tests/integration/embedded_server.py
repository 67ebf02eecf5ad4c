"""Starts a real tritonserver with the models of engines/repositories, for the contract tests.

The environment is the product's own, made when it is not there yet. The launcher is not: tests reach into this one.
"""

from __future__ import annotations

import functools
import json
import os
import socket
import string
import subprocess
import sys
import sysconfig
import time
import urllib.error
import urllib.request
from dataclasses import dataclass, field
from pathlib import Path

from harness.target.process import TETHER
from harness.target.server_environment import prepare

ROOT = Path(__file__).resolve().parents[2]
SERVER_DIR, REPOSITORIES = ROOT / "engines" / "server", ROOT / "engines" / "repositories"
START_TIMEOUT_S, STOP_TIMEOUT_S = 60.0, 15.0
SHAPE = {
    "vocabulary_size": 4096,
    "hidden_size": 256,
    "layers": 4,
    "attention_heads": 4,
    "kv_heads": 2,
    "head_size": 64,
    "feed_forward_size": 688,
    "seed": 0,
}
SETTINGS = {
    "triton_max_batch_size": "64",
    "max_batch_size": "4",
    "max_num_tokens": "512",
    "max_seq_len": "4096",
    "max_tokens_in_paged_kv_cache": "32768",
    "batch_scheduler_policy": "guaranteed_no_evict",
    "enable_kv_cache_reuse": "false",
    "enable_chunked_context": "true",
    "threads": "1",
    "library": "openvino",
    "device": "cpu",
    "dtype": "float16",
    "tokens_per_block": "32",
    "max_queue_size": "0",
    "injected_slowdown_ratio": "0",
    "cancellation_check_period_ms": "100",
}


@functools.cache
def server_python() -> Path:
    """The interpreter of the server environment."""
    return prepare(lambda text: None).python


def build_model(python: Path, out: Path) -> None:
    command = [str(python), str(SERVER_DIR / "build_model.py"), "--shape", json.dumps(SHAPE), "--out", str(out)]
    subprocess.run(command, check=True, timeout=60)


@dataclass
class EmbeddedServer:
    """A running server; `stop` or leaving the context ends it."""

    python: Path
    folder: Path
    model_dir: Path
    settings: dict[str, str] = field(default_factory=dict)
    environment: dict[str, str] = field(default_factory=dict)
    templates: str = "cpu"  # folder of engines/repositories

    def __enter__(self) -> EmbeddedServer:
        self.http_port, self.grpc_port, self.metrics_port = _free_ports(3)
        self.log = self.folder / "tritonserver.log"
        with self.log.open("wb") as log:
            tether = [sys.executable, str(TETHER), str(os.getpid())]  # tests that are killed leave no server behind
            self.process = subprocess.Popen(
                [*tether, *self._command()], cwd=self.folder, env=self._environment(), stdout=log, stderr=log
            )
        self._await_ready()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def stop(self) -> int:
        """Terminate and wait; kills after STOP_TIMEOUT_S."""
        self.process.terminate()
        try:
            return self.process.wait(STOP_TIMEOUT_S)
        except subprocess.TimeoutExpired:
            self.process.kill()
            return self.process.wait()

    @property
    def grpc_url(self) -> str:
        return f"127.0.0.1:{self.grpc_port}"

    def http(self, path: str) -> str:
        return f"http://127.0.0.1:{self.http_port}{path}"

    def metrics(self) -> str:
        with urllib.request.urlopen(f"http://127.0.0.1:{self.metrics_port}/metrics", timeout=5) as page:
            return str(page.read().decode())

    def descendants(self) -> list[int]:
        """The server's processes: itself, the stubs, the engine."""
        return _family(self.process.pid)

    def engine_pid(self) -> int:
        """The engine process among the descendants."""
        return next(pid for pid in self.descendants() if "engine_process.py" in command_line(pid))

    def _command(self) -> list[str]:
        triton = self._site_packages() / "pytriton" / "tritonserver"
        return [
            str(triton / "bin" / "tritonserver"),
            f"--model-repository={self._render_repository()}",
            f"--backend-directory={self._backend_folder(triton)}",
            f"--cache-directory={triton / 'caches'}",
            *(f"--{kind}-address=127.0.0.1" for kind in ("http", "grpc", "metrics")),
            f"--http-port={self.http_port}",
            f"--grpc-port={self.grpc_port}",
            f"--metrics-port={self.metrics_port}",
            "--metrics-interval-ms=100",
            "--allow-gpu-metrics=false",
            "--exit-timeout-secs=5",
        ]

    def _environment(self) -> dict[str, str]:
        path = f"{self.python.parent}{os.pathsep}{os.environ.get('PATH', '')}"
        libpython = str(sysconfig.get_config_var("LIBDIR"))
        return {**os.environ, "PATH": path, "LD_LIBRARY_PATH": libpython, **self.environment}

    def _site_packages(self) -> Path:
        return next((self.python.parent.parent / "lib").glob("python3.*/site-packages"))

    def _backend_folder(self, triton: Path) -> Path:
        folder = self.folder / "backends" / "python"
        folder.mkdir(parents=True)
        version = self._site_packages().parent.name.removeprefix("python")
        for name in ("libtriton_python.so", "triton_python_backend_utils.py"):
            (folder / name).symlink_to(triton / "backends" / "python" / name)
        stub = "triton_python_backend_stub"
        (folder / stub).symlink_to(triton / "python_backend_stubs" / version / stub)
        return folder.parent

    def _render_repository(self) -> Path:
        values = {
            **SETTINGS,
            "accumulate_tokens": "false",
            **self.settings,
            "server_dir": str(SERVER_DIR),
            "socket_path": str(self.folder / "engine.sock"),
            "engine_dir": str(self.model_dir),
            "tokenizer_dir": str(self.model_dir),
        }
        repository = self.folder / "models"
        for source in sorted(path for path in (REPOSITORIES / self.templates).iterdir() if path.is_dir()):
            model = repository / source.name
            (model / "1").mkdir(parents=True)
            template = string.Template((source / "config.pbtxt").read_text())
            (model / "config.pbtxt").write_text(template.substitute(values))
            (model / "1" / "model.py").write_bytes((source / "1" / "model.py").read_bytes())
        return repository

    def _await_ready(self) -> None:
        end = time.monotonic() + START_TIMEOUT_S
        while time.monotonic() < end and self.process.poll() is None:
            try:
                with urllib.request.urlopen(self.http("/v2/health/ready"), timeout=1):
                    return
            except (urllib.error.URLError, OSError):
                time.sleep(0.1)
        self.stop()
        raise RuntimeError(f"the server did not get ready:\n{self.log.read_text(errors='replace')[-4000:]}")


def _free_ports(count: int) -> list[int]:
    sockets = [socket.socket() for _ in range(count)]
    for one in sockets:
        one.bind(("127.0.0.1", 0))
    ports = [one.getsockname()[1] for one in sockets]
    for one in sockets:
        one.close()
    return ports


def _family(pid: int) -> list[int]:
    """A process and all its descendants, from /proc."""
    parents: dict[int, list[int]] = {}
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            parent = _parent(int(entry.name))
            parents.setdefault(parent, []).append(int(entry.name))
    family, unseen = [], [pid]
    while unseen:
        member = unseen.pop()
        family.append(member)
        unseen += parents.get(member, [])
    return family


def _parent(pid: int) -> int:
    try:
        return int(Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[1])
    except OSError:
        return 0


def command_line(pid: int) -> str:
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
    except OSError:
        return ""


def is_alive(pid: int) -> bool:
    """Neither gone nor a zombie."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] != "Z"
    except OSError:
        return False
