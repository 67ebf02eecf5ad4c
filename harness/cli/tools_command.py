"""`harness tools`: other people's load generators: what is there, how to get it, and importing what they report."""

from __future__ import annotations

from pathlib import Path

import click


@click.group()
def tools() -> None:
    """Other load generators beside our own.

    \b
      harness tools list
      harness tools install perf-analyzer            then, in a scenario: driver: perf_analyzer
      harness tools prepare-trtllm-bench runs/<folder> --point all-c8 --model org/name
      harness tools import-trtllm-bench report.json runs/<folder>
    """


@tools.command("list")
def list_tools() -> int:
    """What is on this machine."""
    from harness.drivers.perf_analyzer import install
    from harness.drivers.trtllm_bench import command

    tool = install.find()
    where = f"not here\n  → {install.HOW_TO_GET}" if tool is None else f"{tool.version}  {tool.path}"
    click.echo(f"{'perf_analyzer':<16}{where}")
    bench = command.find()
    where = "not here\n  → it comes with TensorRT-LLM, on a machine with its GPU" if bench is None else str(bench)
    click.echo(f"{'trtllm-bench':<16}{where}")
    return 0


@tools.command("install")
@click.argument("tool", type=click.Choice(["perf-analyzer"]))
def install_tool(tool: str) -> int:
    """Fetch TOOL into the harness's own cache, with the libraries it needs; nothing is installed on the system."""
    from harness.drivers.perf_analyzer import install

    found = install.install(lambda line: click.echo(line, err=True))
    click.echo(f"{tool.replace('-', '_')} {found.version}: {found.path}")
    return 0


@tools.command("prepare-trtllm-bench")
@click.argument("folder", type=click.Path(path_type=Path))
@click.option("--point", "point_id", required=True, help="the point whose planned requests the engine is to answer")
@click.option("--model", required=True, help="the model's name, as trtllm-bench wants it")
@click.option("--engine-dir", type=click.Path(path_type=Path), help="a built engine (TensorRT-LLM before 1.3)")
@click.option("--options", type=click.Path(path_type=Path), help="a YAML file of LLM-API options")
@click.option("--tokenizer", type=click.Path(path_type=Path, exists=True), help="draw the ids from its vocabulary")
@click.option("--requests", type=click.IntRange(1), default=1000, show_default=True, help="at most so many")
def prepare_trtllm_bench(
    folder: Path,
    point_id: str,
    model: str,
    engine_dir: Path | None,
    options: Path | None,
    tokenizer: Path | None,
    requests: int,
) -> int:
    """Write the requests planned for a point of the run FOLDER as a data set, and print the trtllm-bench command.

    Run the command where TensorRT-LLM is installed, then keep its report with `import-trtllm-bench`.
    """
    import shlex

    from harness.drivers.trtllm_bench import command, dataset
    from harness.records.store import RunFolder

    run = RunFolder.open(folder)
    point = run.manifest().point(point_id)
    path = folder / f"trtllm-bench-{point_id}.jsonl"
    count = dataset.write(run, point, tokenizer, path, requests)
    wanted = command.EngineRun(model, engine_dir=engine_dir, options_file=options, concurrency=point.concurrency)
    line = command.command(wanted, dataset=path, report=folder / f"trtllm-bench-{point_id}.json")
    click.echo(f"{count} requests in {path}", err=True)
    click.echo(shlex.join(line))
    return 0


@tools.command("import-trtllm-bench")
@click.argument("report", type=click.Path(path_type=Path, exists=True, dir_okay=False))
@click.argument("folder", type=click.Path(path_type=Path))
def import_trtllm_bench(report: Path, folder: Path) -> int:
    """Keep what trtllm-bench wrote with --report_json in the run FOLDER, as foreign results beside the records.

    They are shown in a section of their own: never mixed with records, never gated against them.
    """
    from harness.drivers.trtllm_bench import report as reports
    from harness.records import foreign
    from harness.records.store import RunFolder

    result = reports.read(report)
    place = foreign.add(RunFolder.open(folder), result)
    click.echo(f"{len(result.values)} values from {report} kept in {place}")
    for note in result.notes:
        click.echo(f"  {note}")
    return 0
