"""`harness validate`, `harness schema`, `harness init`: everything about scenario files short of running them."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import click

from harness.errors import Ending, UsageError
from harness.resources import find_named, names, shipped

if TYPE_CHECKING:
    from harness.scenario.loader import Loaded

_FIRST_README = """\
# Load tests of an LLM server

`scenarios/` says what is measured and under which load, `engines/` which server is started for it, `baselines/` holds
accepted results, `pipelines/` gates for GitHub Actions, GitLab CI, Jenkins and Argo Rollouts. Files here come before
shipped ones of the same name. The next three commands:

    harness doctor                      # what this machine has, what is missing, and the command that mends it
    harness run smoke                   # ten seconds of load on a real Triton with a small model; writes runs/
    harness run quickstart              # a real sweep: concurrency and prompt length; prints the path of its report

To measure a server of yours: edit `scenarios/attach-example.yaml`, then `harness validate attach-example` and
`harness run attach-example`. The language of scenarios, by example: `scenarios/README.md`.
"""


@click.command()
@click.argument("scenarios", nargs=-1, required=True, metavar="FILE_OR_NAME...")
@click.pass_context
def validate(context: click.Context, scenarios: tuple[str, ...]) -> None:
    """Check scenario files and engine specs: every mistake with line, field and what is allowed.

    Each is a file, or a name in ./scenarios, ./engines or among the shipped ones. Known traps of a sound engine spec
    are told too. Exit code 2 if any has a mistake.
    """
    sound = True
    for name_or_path in scenarios:
        try:
            lines = _checked_engine(name_or_path) if _is_engine(name_or_path) else _checked_scenario(name_or_path)
        except UsageError as error:
            click.echo(str(error), err=True)
            sound = False
        else:
            for line in lines:
                click.echo(line)
    if not sound:
        context.exit(Ending.USAGE.code)


def _is_engine(name_or_path: str) -> bool:
    """Whether this names an engine spec: a file with a `kind`, or a name that no scenario has."""
    path = Path(name_or_path)
    if path.is_file():
        return any(line.startswith("kind:") for line in path.read_text(encoding="utf-8", errors="replace").splitlines())
    return name_or_path in names("engines") and name_or_path not in names("scenarios")


def _checked_scenario(name_or_path: str) -> list[str]:
    from harness.plan.deployments import combinations
    from harness.scenario.loader import load

    loaded = load(find_named("scenarios", name_or_path))
    if loaded.scenario.vary is not None:
        combinations(loaded.scenario)  # settings that the engine does not have
    return [f"ok  {loaded.path}: {_summary(loaded)}"]


def _checked_engine(name_or_path: str) -> list[str]:
    from harness.engine.load import load_engine
    from harness.engine.spec import NativeSpec
    from harness.engine.traps import traps_of

    loaded = load_engine(name_or_path)
    spec = loaded.spec
    said = f"ok  {loaded.path}: engine of kind {spec.kind}, models {', '.join(spec.models)}"
    if isinstance(spec, NativeSpec):
        said += f", TensorRT-LLM {spec.tensorrt_llm_version} on {spec.gpu_count} x {spec.gpu.product}"
    return [said, *(f"    note  {trap}" for trap in traps_of(spec))]


@click.command()
@click.argument("of", type=click.Choice(["scenario", "verdict"]), default="scenario")
@click.option("--check", is_flag=True, help="Compare with the file that is shipped instead of printing.")
def schema(of: str, check: bool) -> None:
    """Print the JSON Schema of scenario files (for completion and checks in editors), or of verdict.json.

    \b
      harness schema > scenario.schema.json
      harness schema verdict > verdict.schema.json
    """
    file, text = _verdict_schema() if of == "verdict" else _scenario_schema()
    if not check:
        click.echo(text, nl=False)
        return
    if file.read_text(encoding="utf-8") != text:
        raise UsageError(f"{file} is out of date", hint=f"harness schema {of} > {file}")
    click.echo(f"ok  {file}")


def _scenario_schema() -> tuple[Path, str]:
    from harness.scenario.json_schema import text

    return shipped("scenarios", "scenario.schema.json"), text()


def _verdict_schema() -> tuple[Path, str]:
    from harness.report.gate.verdict_schema import text

    return shipped("reports", "verdict.schema.json"), text()


@click.command()
@click.argument("folder", default=".", type=click.Path(file_okay=False, path_type=Path), metavar="[DIR]")
def init(folder: Path) -> None:
    """Lay out a folder of your own: scenarios, engines, baselines, pipelines. Nothing that exists is overwritten."""
    written = kept = 0
    for source, target in _layout(folder):
        if target.exists():
            kept += 1
            continue
        target.parent.mkdir(parents=True, exist_ok=True)
        if source is None:
            target.write_text(_FIRST_README, encoding="utf-8")
        else:
            shutil.copyfile(source, target)
        written += 1
    (folder / "baselines").mkdir(exist_ok=True)
    existing = f", {kept} existing ones left as they are" if kept else ""
    click.echo(f"{written} files written to {folder}{existing}; next: {folder / 'README.md'}")


def _layout(folder: Path) -> Iterator[tuple[Path | None, Path]]:
    """(shipped file, its place in the folder); None for the README, which is ours to write."""
    yield None, folder / "README.md"
    for source in sorted(shipped("reports", "pipelines").iterdir()):
        yield source, folder / "pipelines" / source.name
    for kind, patterns in (("scenarios", ("*.yaml", "*.json", "*.md", "traces/*")), ("engines", ("*.yaml", "*.md"))):
        for pattern in patterns:
            for source in sorted(shipped(kind).glob(pattern)):
                yield source, folder / kind / source.relative_to(shipped(kind))


def _summary(loaded: Loaded) -> str:
    scenario = loaded.scenario
    points = _counted(scenario.number_of_points, "point")
    repetitions = f" x {scenario.repetitions} repetitions" if scenario.repetitions > 1 else ""
    window_s = scenario.phases.window_length_s
    if window_s is None:
        return f"{points}{repetitions}, {scenario.phases.window_requests} requests each"
    measured_s = scenario.number_of_points * scenario.repetitions * (window_s + scenario.phases.warm_up_s)
    return f"{points}{repetitions}, at least {measured_s:.0f} s under load"


def _counted(count: int, noun: str) -> str:
    return f"{count} {noun}" if count == 1 else f"{count} {noun}s"
