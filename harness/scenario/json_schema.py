"""The JSON Schema of a scenario file, for editors.

`scenarios/scenario.schema.json` is a copy of it that a test keeps in step.
"""

from __future__ import annotations

import json

from harness.scenario.schema import Scenario


def text() -> str:
    """The schema as JSON, ready to be written to a file."""
    schema = {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        **Scenario.model_json_schema(),
        "title": "Scenario of triton-llm-harness",
    }
    return json.dumps(schema, indent=2, ensure_ascii=False) + "\n"
