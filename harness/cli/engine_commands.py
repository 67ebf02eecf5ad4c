"""`harness engine up | down | status | logs`: start an engine on this machine and leave it running."""

from __future__ import annotations

import time
from pathlib import Path

import click

from harness.cli.engine_build_command import build, manifests
from harness.cli.engine_inspect_command import inspect
from harness.cli.engine_render_command import render
from harness.engine.load import load_engine
from harness.errors import UsageError
from harness.target import server_log, started
from harness.target.ports import WantedPorts
from harness.target.started import StartedEngine
from harness.units import show_bytes, show_duration

Port = click.IntRange(1, 65535)
FOLLOW_S = 0.25


@click.group("engine")
def engine() -> None:
    """Start engines on this machine, look at them, stop them; build, inspect, render and deploy TensorRT-LLM's."""


for command in (build, inspect, render, manifests):
    engine.add_command(command)


@engine.command("up")
@click.argument("name", metavar="ENGINE")
@click.option("--grpc-port", type=Port, help="Port for gRPC; default: a free one.")
@click.option("--http-port", type=Port, help="Port for HTTP; default: a free one.")
@click.option("--metrics-port", type=Port, help="Port for the metrics page; default: a free one.")
@click.option(
    "--timeout", "limit_s", type=click.FloatRange(min=1), default=120.0, show_default=True, help="Seconds to get ready."
)
def up(name: str, grpc_port: int | None, http_port: int | None, metrics_port: int | None, limit_s: float) -> None:
    """Start ENGINE (a name from engines/, or a YAML file) and leave it running.

    The first start makes the server's own Python environment, about 500 MB, and builds the model.
    """
    wanted = WantedPorts(grpc_port, http_port, metrics_port)
    loaded = load_engine(name)
    began = time.monotonic()
    record, is_new = started.up(loaded, wanted, limit_s=limit_s, progress=lambda line: click.echo(line, err=True))
    if is_new:
        click.echo(f"{record.name} is up after {show_duration(time.monotonic() - began)}")
    else:
        click.echo(f"{record.name} runs already, for {_age(record)}")
        if record.engine_hash != loaded.hash:
            click.echo(f"  with other settings than {loaded.path} says now: harness engine down {record.name}, then up")
    click.echo(_addresses(record))
    click.echo(_next_steps(record, loaded.spec.models[0]))


@engine.command("down")
@click.argument("name", metavar="[ENGINE]", required=False)
@click.option("--all", "everything", is_flag=True, help="Every engine that `up` started.")
def down(name: str | None, everything: bool) -> None:
    """Stop ENGINE, or the only one that runs, or --all of them."""
    records = _chosen(name, everything)
    if not records:
        click.echo("no engine is up")
    for record in records:
        was_alive = started.down(record)
        click.echo(f"{record.name} is down" if was_alive else f"{record.name} had died already; cleared away")


@engine.command("status")
def status() -> None:
    """Show every engine that `up` started: alive or dead, addresses, memory."""
    records = started.find_all()
    if not records:
        click.echo("no engine is up; start one: harness engine up cpu-tiny")
    for record in records:
        click.echo(_status_line(record))
        click.echo(_addresses(record) if record.alive else f"  clear it away: harness engine down {record.name}")


@engine.command("logs")
@click.argument("name", metavar="[ENGINE]", required=False)
@click.option("-f", "--follow", is_flag=True, help="Go on until the engine ends or Ctrl-C.")
@click.option("-n", "--lines", type=click.IntRange(min=0), default=40, show_default=True, help="Lines to begin with.")
def logs(name: str | None, follow: bool, lines: int) -> None:
    """Show the end of ENGINE's server log."""
    (record,) = _chosen(name, everything=False)
    path = Path(record.log)
    tail = server_log.read_tail(path).splitlines()
    for line in tail[len(tail) - min(lines, len(tail)) :]:
        click.echo(line)
    if follow:
        _follow(path, record)


def _follow(path: Path, record: StartedEngine) -> None:
    """Print what is appended until the engine ends."""
    with path.open(errors="replace") as file:
        file.seek(0, 2)
        alive = True
        while alive:
            alive = record.alive  # asked before reading: the last lines of a dying server are still shown
            click.echo(file.read(), nl=False)
            time.sleep(FOLLOW_S if alive else 0)
    click.echo(f"{record.name} has ended", err=True)


def _chosen(name: str | None, everything: bool) -> list[StartedEngine]:
    """The records a command is about. Raises UsageError when that is not clear."""
    records = started.find_all()
    if everything:
        return records
    if name is None and len(records) == 1:
        return records
    known = ", ".join(record.name for record in records) or "none"
    if name is None:
        raise UsageError("say which engine", hint=f"started with `harness engine up`: {known}")
    chosen = [record for record in records if record.name == Path(name).name.removesuffix(".yaml")]
    if not chosen:
        raise UsageError(f"no engine {name!r} was started", hint=f"started with `harness engine up`: {known}")
    return chosen


def _status_line(record: StartedEngine) -> str:
    if not record.alive:
        return f"{record.name}: dead; {record.why_dead()}"
    memory = show_bytes(record.resident_bytes())
    return f"{record.name}: alive for {_age(record)}, pid {record.identity.pid}, {memory} resident"


def _addresses(record: StartedEngine) -> str:
    return f"  gRPC {record.url}, HTTP http://127.0.0.1:{record.ports.http}, metrics {record.metrics_url}"


def _next_steps(record: StartedEngine, model: str) -> str:
    return (
        f"measure it:  target: {{attach: {{url: '{record.url}', model: {model}, metrics_url: '{record.metrics_url}', "
        f"tokenizer: '{record.tokenizer}'}}}}\n"
        f"look at it:  harness engine status, harness engine logs -f {record.name}\n"
        f"stop it:     harness engine down {record.name}"
    )


def _age(record: StartedEngine) -> str:
    return show_duration(max(0.0, time.time() - record.since_s))
