"""The `harness` command. Subcommands are imported only when one is called, so that `harness --help` answers at once."""

from __future__ import annotations

import sys
import traceback
from typing import Any

import click

import harness
from harness.cli.lazy import LazyCommands
from harness.errors import Ending, HarnessError

COMMANDS: dict[str, tuple[str, str, str]] = {  # name → (module, attribute, one line for --help)
    "init": ("harness.cli.scenario_commands", "init", "lay out a folder of your own: scenarios, engines, baselines"),
    "validate": ("harness.cli.scenario_commands", "validate", "check scenario files, all mistakes in one go"),
    "schema": ("harness.cli.scenario_commands", "schema", "print the JSON Schema of scenarios, for your editor"),
    "plan": ("harness.cli.plan_command", "plan", "show what a scenario would run, and how long it takes"),
    "run": ("harness.cli.run_command", "run", "measure a scenario, leave a run folder with an HTML report"),
    "report": ("harness.cli.report_command", "report", "rebuild the report of a run folder, without the server"),
    "compare": ("harness.cli.compare_command", "compare", "two runs side by side, for information: no verdict"),
    "sweep": ("harness.cli.sweep_command", "sweep", "measure a scenario over engine settings, recommend one"),
    "size": ("harness.cli.size_command", "size", "find the highest load that meets the objectives"),
    "gate": ("harness.cli.gate_command", "gate", "is it slower? PASS, FAIL or INCONCLUSIVE, as an exit code"),
    "baseline": ("harness.cli.baseline_command", "baseline", "accepted runs to gate against: accept, list, show, diff"),
    "engine": ("harness.cli.engine_commands", "engine", "start, stop and look after an embedded Triton with an engine"),
    "calibrate": (
        "harness.cli.calibrate_command",
        "calibrate",
        "measure what the load generator carries on this host",
    ),
    "tools": (
        "harness.cli.tools_command",
        "tools",
        "other load generators: fetch perf_analyzer, import trtllm-bench",
    ),
    "doctor": ("harness.cli.doctor", "doctor", "what this machine has and lacks, and the command that mends it"),
}

EPILOG = """\b
The way through:
  harness doctor                       is everything here?
  harness init my-tests && cd my-tests
  harness validate quickstart          is the scenario sound?
  harness plan quickstart              what would run, for how long?
  harness run quickstart               measure; the last line names the report
  harness report runs/<folder>         rebuild the report later, anywhere

\b
Exit codes: 0 pass, 1 objective failed, 2 bad usage, 3 a point is INVALID, 4 inconclusive,
5 target not ready, 6 load generator failed, 70 bug, 130 interrupted (what was measured is kept)."""


@click.group(
    cls=LazyCommands,
    commands_table=COMMANDS,
    epilog=EPILOG,
    context_settings={"help_option_names": ["-h", "--help"]},
)
@click.version_option(harness.__version__, prog_name="harness")
@click.option("--debug", is_flag=True, help="show the traceback of an error")
@click.pass_context
def cli(context: click.Context, debug: bool) -> None:
    """Load-test LLM serving on NVIDIA Triton with TensorRT-LLM, and know whether the numbers can be believed."""
    context.obj = {"debug": debug}


def main(arguments: list[str] | None = None) -> None:
    """Entry point: runs a command and turns every error into one or two lines and an exit code."""
    debug = "--debug" in (arguments if arguments is not None else sys.argv[1:])
    sys.exit(_run(arguments, debug))


def _run(arguments: list[str] | None, debug: bool) -> int:
    try:
        result: Any = cli.main(args=arguments, prog_name="harness", standalone_mode=False)
        return result if isinstance(result, int) else Ending.PASS.code
    except HarnessError as error:
        _show(str(error), debug)
        if error.kept_in is not None:
            click.echo(f"  what was measured is kept: {error.kept_in}", err=True)
            click.echo(f"  go on with:      {error.resume_command} {error.kept_in}", err=True)
            click.echo(f"  see what is there: harness report {error.kept_in}", err=True)
        return error.ending.code
    except click.ClickException as error:
        error.show()
        return Ending.USAGE.code
    except (KeyboardInterrupt, click.Abort):
        click.echo("\ninterrupted", err=True)
        return Ending.INTERRUPTED.code
    except OSError as error:  # a full disk, a missing permission: not ours to mend
        _show(f"{error.strerror or error}{f': {error.filename}' if error.filename else ''}", debug)
        return Ending.USAGE.code
    except Exception as error:
        _show(
            f"a bug in the harness: {error!r}\n  please report it with the output of the same command with --debug",
            debug,
        )
        return Ending.BUG.code


def _show(message: str, debug: bool) -> None:
    if debug:
        traceback.print_exc()
    click.echo(click.style("error: ", fg="red", bold=True, reset=True) + message, err=True)


if __name__ == "__main__":
    main()
