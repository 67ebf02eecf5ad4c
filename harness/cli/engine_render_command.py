"""`harness engine render`: the files and commands to deploy an engine of TensorRT-LLM."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from harness.engine.spec import NativeSpec


@click.command("render")
@click.argument("name", metavar="SPEC")
@click.option(
    "--output",
    type=click.Path(file_okay=False, path_type=Path),
    metavar="DIR",
    help="Folder to write to, new or empty; default: rendered/<name>.",
)
@click.option(
    "--templates",
    type=click.Path(exists=True, file_okay=False, path_type=Path),
    metavar="DIR",
    help="NVIDIA's all_models; default: that of the container this runs in, else templates of our own.",
)
@click.option("--engine-dir", metavar="DIR", help="Where the server finds the built engine; default: /engines/<name>.")
def render(name: str, output: Path | None, templates: Path | None, engine_dir: str | None) -> None:
    """Write the Triton model repository of SPEC and the scripts that build and launch it.

    SPEC is a name from engines/ or a YAML file, of kind classic, llmapi or serve. Known traps are printed.
    """
    from harness.engine.load import load_engine
    from harness.engine.native_repository import Places
    from harness.engine.native_templates import find_templates
    from harness.engine.traps import traps_of
    from harness.errors import UsageError
    from harness.target.deployment_files import deployment_files

    loaded = load_engine(name)
    spec = loaded.native
    folder = output or Path("rendered") / spec.name
    if folder.is_dir() and any(folder.iterdir()):
        raise UsageError(f"{folder} is not empty", hint="give another folder with --output, or remove it")
    places = Places(engine_dir or f"/engines/{spec.name}", spec.model.tokenizer_source)
    chosen = None if spec.kind == "serve" else find_templates(spec.kind, templates)
    made = deployment_files(spec, places, chosen)
    for path, content in made.files.items():
        file = folder / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(content)
        if file.suffix == ".sh":
            file.chmod(0o755)
    for trap in traps_of(spec):
        click.echo(f"note  {trap}", err=True)
    for note in made.notes:
        click.echo(note)
    click.echo(f"{len(made.files)} files in {folder}")
    click.echo(_next(spec, folder))


def _next(spec: NativeSpec, folder: Path) -> str:
    """What to do with the files."""
    if spec.kind == "classic":
        return f"build the engine with {folder / 'build.sh'}, then start the server with {folder / 'launch.sh'}"
    return f"start the server with {folder / 'launch.sh'}"
