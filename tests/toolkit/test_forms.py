"""Forms: which texts a type can read, and what rows get in a column that has it."""

from __future__ import annotations

import json
import uuid
from typing import Any

import pytest
import sqlalchemy as sa
from sqlalchemy.dialects import sqlite

from alembic_toolkit.rows.forms import FORMS, fits, form_of, made


class Own(sa.types.TypeDecorator[Any]):
    """A type as projects have them; what it does with a text is said by each test."""

    impl = sa.String
    cache_ok = True

    def __init__(self, read: Any) -> None:
        super().__init__()
        self.read = read

    def process_result_value(self, value: Any, dialect: Any) -> Any:
        return value if value is None else self.read(value)


def fail(_: str) -> None:
    raise RuntimeError


@pytest.mark.parametrize(
    ("type_", "form"),
    [
        (sa.String(9), ""),
        (sa.Integer(), ""),
        (sa.Uuid(), "uuid"),
        (Own(uuid.UUID), "uuid"),
        (Own(json.loads), "object"),
        (Own(lambda text: json.loads(text).keys()), "object"),
        (Own(lambda text: json.loads(text)[0]), "array"),
        (Own(int), "number"),
        (Own(str.upper), ""),
        (Own(fail), ""),
    ],
)
def test_form_of_is_what_the_type_can_read(type_: Any, form: str) -> None:
    assert form_of(type_, sqlite.dialect()) == form


def test_made_is_another_text_for_each_number_when_it_fits() -> None:
    for form in FORMS:
        texts = {made(form, number, None) for number in range(50)}
        assert len(texts) == 50
    assert len(made("uuid", 1, 32)) == 32
    assert fits("uuid", 32)
    assert not fits("uuid", 31)
