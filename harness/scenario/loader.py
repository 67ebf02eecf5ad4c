"""A scenario file on its way in: checked as a whole, with the files, engines and variables that it refers to.

The text that is kept (for the manifest, and its hash) is the text as written: `${NAME}` in headers is filled in only in
the model that this process holds.
"""

from __future__ import annotations

import hashlib
import os
from dataclasses import dataclass
from pathlib import Path

from harness.scenario.schema import Scenario
from harness.scenario.strict_yaml import read_strict, text_of
from harness.scenario.surroundings import Surroundings


@dataclass(frozen=True)
class Loaded:
    """A valid scenario with the text it was read from. `scenario` may hold secrets: store the text, not the model."""

    scenario: Scenario
    text: str
    path: Path

    @property
    def hash(self) -> str:
        """SHA-256 of the text, in hex."""
        return hashlib.sha256(self.text.encode()).hexdigest()

    @property
    def short_hash(self) -> str:
        """The hash as it is shown: 12 hex digits."""
        return self.hash[:12]


def load(path: Path) -> Loaded:
    """The scenario in this file. Raises ScenarioError naming every mistake with file, line and field."""
    return load_text(text_of(path), path)


def load_text(text: str, path: Path) -> Loaded:
    """As `load`, as if the file `path` had this text: to resume a run whose scenario file has changed since."""
    surroundings = Surroundings(path.resolve().parent, os.environ)
    return Loaded(read_strict(text, Scenario, path, surroundings), text, path)


def read_back(text: str, path: Path) -> Scenario:
    """The scenario of a manifest, once the text of `path`; its files and variables are not looked up."""
    return read_strict(text, Scenario, path)
