"""`harness engine inspect`: what an engine folder or a running server really is, and where it differs from a spec."""

from __future__ import annotations

import json
import textwrap
from pathlib import Path
from typing import Any

import click

from harness.engine.engine_config import Difference, differences, not_compared, shown
from harness.engine.inspect import Found, expected_of_engine, expected_of_server
from harness.engine.load import load_engine
from harness.errors import Ending
from harness.target.inspect_engine import inspect_folder, inspect_url

FIRST = ("server", "model", "contract", "version", "architecture", "dtype", "quant_algo", "kv_cache_quant_algo")


@click.command("inspect")
@click.argument("what", metavar="DIR|URL")
@click.option("--spec", metavar="ENGINE", help="Compare with this engine spec (a name from engines/, or a YAML file).")
@click.option("--model", help="Model to ask; default: tensorrt_llm, else ensemble; of trtllm-serve what it serves.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def inspect(what: str, spec: str | None, model: str | None, as_json: bool) -> int:
    """Tell what an engine really is: limits, precision, parallelism, version.

    DIR is a folder that trtllm-build wrote; its config.json is read. URL is host:port of a running Triton (HTTP or
    gRPC) or trtllm-serve. With --spec, exit code 1 when they differ. What the engine or server does not tell is listed,
    and is no difference.

    \b
      harness engine inspect /engines/llama-3.1-8b-fp8-h100 --spec llama-3.1-8b-fp8-h100
      harness engine inspect 127.0.0.1:8001 --spec llama-3.1-8b-fp8-h100
    """
    wanted = load_engine(spec).spec if spec else None
    if Path(what).exists():
        expected = expected_of_engine(wanted) if wanted else {}
        found = inspect_folder(Path(what))
    else:
        expected = expected_of_server(wanted) if wanted else {}
        found = inspect_url(what, model, expected_model=wanted.models[0] if wanted else None)
    differ = differences(expected, found.values)
    untold = not_compared(expected, found.values)
    if as_json:
        click.echo(json.dumps(_as_json(found, differ, untold), indent=2))
    else:
        _show(found, differ, untold, spec)
    return Ending.FAIL.code if differ else Ending.PASS.code


def _show(found: Found, differ: list[Difference], untold: list[str], spec: str | None) -> None:
    click.echo(found.where)
    for name in sorted(found.values, key=lambda name: (FIRST.index(name) if name in FIRST else len(FIRST), name)):
        click.echo(f"  {name:<32}{shown(found.values[name])}")
    for part, why in found.not_told.items():
        click.echo(f"  {part:<32}not told: {why}")
    if spec is None:
        return
    for difference in differ:
        click.echo(click.style("differs: ", fg="red") + str(difference))
    if not differ:
        click.echo(f"as {spec} says, in all that both of them tell")
    if untold:
        click.echo("not compared, because it is not told:")
        click.echo(textwrap.fill(", ".join(untold), 110, initial_indent="  ", subsequent_indent="  "))


def _as_json(found: Found, differ: list[Difference], untold: list[str]) -> dict[str, Any]:
    return {
        "where": found.where,
        "values": dict(found.values),
        "not_told": dict(found.not_told),
        "differences": [{"name": d.name, "expected": d.expected, "found": d.found} for d in differ],
        "not_compared": untold,
    }
