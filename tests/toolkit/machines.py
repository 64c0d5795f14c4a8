"""The schemas that what is printed for machines must keep."""

from __future__ import annotations

import json
from importlib.resources import files
from pathlib import Path
from typing import Any

import jsonschema


def validator() -> Any:
    """Return what validates the JSON of every command."""
    schema = json.loads(
        files("alembic_toolkit.report").joinpath("findings.schema.json").read_text()
    )
    jsonschema.Draft202012Validator.check_schema(schema)
    return jsonschema.Draft202012Validator(schema)


def sarif() -> Any:
    """Return what validates a log of SARIF."""
    schema = json.loads(Path(__file__).with_name("sarif-schema-2.1.0.json").read_text())
    return jsonschema.Draft7Validator(schema)
