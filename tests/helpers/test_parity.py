"""``import alembic_helpers as op``: every public name of ``alembic.op``, called in the same way."""

from __future__ import annotations

import inspect

import alembic.op
import pytest
from alembic.operations import BatchOperations, MigrateOperation, Operations

import alembic_helpers as helpers
from alembic_toolkit.verbs.batch import GuardedBatch

# What ``alembic.op`` shows by accident of how it is made.
INTERNAL = {"Operations", "context", "create_module_class_proxy"}
NAMES = sorted(
    name for name in vars(alembic.op) if not name.startswith("_") and name not in INTERNAL
)


def parameters(function: object) -> list[inspect.Parameter]:
    found = inspect.signature(function).parameters.values()  # type: ignore[arg-type]
    return [parameter for parameter in found if parameter.name not in ("self", "operations")]


@pytest.mark.parametrize("name", NAMES)
def test_name_is_there_and_public(name: str) -> None:
    assert name in helpers.__all__
    assert getattr(helpers, name).__doc__


@pytest.mark.parametrize("name", NAMES)
def test_parameters_have_the_same_order_and_names(name: str) -> None:
    ours, theirs = parameters(getattr(helpers, name)), parameters(getattr(Operations, name))
    places = {inspect.Parameter.POSITIONAL_OR_KEYWORD, inspect.Parameter.VAR_POSITIONAL}
    assert [p.name for p in ours if p.kind in places] == [
        p.name for p in theirs if p.kind in places
    ]
    assert {p.name for p in theirs} <= {p.name for p in ours}


@pytest.mark.parametrize("name", NAMES)
def test_parameters_have_the_same_defaults(name: str) -> None:
    ours = {p.name: p.default for p in parameters(getattr(helpers, name))}
    for parameter in parameters(getattr(Operations, name)):
        assert ours[parameter.name] == parameter.default, parameter.name


def test_name_that_a_plugin_added_is_passed_on() -> None:
    @Operations.register_operation("create_gadget")
    class CreateGadget(MigrateOperation):
        @classmethod
        def create_gadget(cls, operations: Operations, name: str) -> None:
            """Make a gadget."""

    try:
        alembic.op.create_gadget = lambda name: name  # type: ignore[attr-defined]
        assert helpers.create_gadget("x") == "x"  # type: ignore[attr-defined]
    finally:
        del alembic.op.create_gadget  # type: ignore[attr-defined]
        del Operations.create_gadget  # type: ignore[attr-defined]


def test_name_that_nobody_has_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="has no attribute 'creat_table'"):
        helpers.creat_table  # type: ignore[attr-defined]  # noqa: B018


def test_batch_operations_are_alembics_own() -> None:
    assert issubclass(GuardedBatch, BatchOperations)
