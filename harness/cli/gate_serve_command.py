"""`harness gate serve`: verdicts over HTTP."""

from __future__ import annotations

import signal
from pathlib import Path
from types import FrameType

import click

from harness.errors import UsageError


@click.command()
@click.argument("folder", type=click.Path(path_type=Path), default=Path("runs"))
@click.option("--host", default="127.0.0.1", show_default=True, help="the address to listen on; 0.0.0.0 for all")
@click.option("--port", type=click.IntRange(0, 65535), default=8787, show_default=True, help="0 takes a free one")
def serve(folder: Path, host: str, port: int) -> int:
    """Answer the verdicts of the runs in FOLDER (default: ./runs) over HTTP, until Ctrl-C.

    GET /verdicts/<run> gives {"result": {"verdict": "pass", ...}}; verdict is pass, fail, inconclusive, invalid or
    not_comparable. Where no gate has finished yet the answer is 404. Nothing else of a run is served.

    An Argo Rollouts AnalysisTemplate asks with its web provider, the only way in which it sees INCONCLUSIVE: with
    jsonPath "{$.result}", successCondition 'result.verdict == "pass"' and failureCondition 'result.verdict == "fail"',
    any other verdict pauses the rollout for a human. The whole template: `harness init`, then pipelines/.

    \b
      harness gate serve
      harness gate serve verdicts --host 0.0.0.0 --port 8080
      curl http://127.0.0.1:8787/verdicts
    """
    from harness.report.gate.serve import VerdictServer

    if not folder.is_dir():
        raise UsageError(f"{folder}: no such folder", hint="name the folder of your runs: harness gate serve runs")
    try:
        server = VerdictServer((host, port), folder)
    except OSError as error:
        raise UsageError(
            f"cannot listen on {host}:{port}: {error.strerror or error}", hint="another port: --port 0 takes a free one"
        ) from error
    signal.signal(signal.SIGTERM, _stop)
    with server:
        click.echo(f"verdicts of {folder} at {server.url}/verdicts (Ctrl-C ends it)")
        try:
            server.serve_forever()
        except KeyboardInterrupt:
            click.echo("stopped")
    return 0


def _stop(number: int, frame: FrameType | None) -> None:
    raise KeyboardInterrupt
