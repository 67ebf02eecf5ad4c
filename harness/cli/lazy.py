"""A group of commands whose modules are imported only when one is called, so that `--help` answers at once."""

from __future__ import annotations

import difflib
import importlib
from collections.abc import Mapping
from typing import Any

import click

Table = Mapping[str, tuple[str, str, str]]  # name → (module, attribute, one line for --help)


class LazyCommands(click.Group):
    """A group whose subcommands are imported on demand; `commands_table` lists them in the order of --help."""

    commands_table: Table

    def __init__(self, *arguments: Any, commands_table: Table, **settings: Any) -> None:
        super().__init__(*arguments, **settings)
        self.commands_table = commands_table

    def list_commands(self, context: click.Context) -> list[str]:
        """All names, in the order in which a person meets them."""
        return list(self.commands_table)

    def get_command(self, context: click.Context, name: str) -> click.Command | None:
        """Import one subcommand."""
        if name not in self.commands_table:
            return None
        module, attribute, _ = self.commands_table[name]
        command: click.Command = getattr(importlib.import_module(module), attribute)
        return command

    def format_commands(self, context: click.Context, formatter: click.HelpFormatter) -> None:
        """The list of subcommands, without importing any."""
        with formatter.section("Commands"):
            formatter.write_dl([(name, line) for name, (_, _, line) in self.commands_table.items()])

    def resolve_command(
        self, context: click.Context, arguments: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """As click does, with the nearest name for a misspelt one."""
        name = arguments[0]
        near = difflib.get_close_matches(name, self.commands_table, 1)
        if name not in self.commands_table and not name.startswith("-") and near:
            raise click.UsageError(f"no such command {name!r}: did you mean {near[0]!r}?", context)
        return super().resolve_command(context, arguments)
