"""Columns stay aligned, whatever is in them."""

from decimal import Decimal

import pytest

from bills.table import layout, shorten, width


def test_layout_puts_text_to_the_left_and_numbers_to_the_right() -> None:
    rows = [("Rent", 7, Decimal("1234.5")), ("Gas", 12, Decimal("0.01"))]
    assert layout(("what", "id", "amount"), rows).splitlines() == [
        "what  id    amount",
        "----  --  --------",
        "Rent   7  1,234.50",
        "Gas   12      0.01",
    ]


def test_layout_counts_wide_characters_twice_and_marks_not_at_all() -> None:
    rows = [("山田太郎", "x"), ("Zoe\u0308", "x"), ("🎂", "x"), (None, "x")]
    assert layout(("who", ""), rows).splitlines()[2:] == [
        "山田太郎  x",
        "Zoe\u0308       x",
        "🎂        x",
        "          x",
    ]


@pytest.mark.parametrize("text", ["x" * 50, "山" * 50, "e\u0308" * 50])
def test_layout_cuts_text_that_is_too_wide(text: str) -> None:
    line = layout(("text", ""), [(text, "y")]).splitlines()[-1]
    assert "…" in line
    assert 39 + 3 <= width(line) <= 40 + 3


def test_shorten_keeps_text_that_just_fits() -> None:
    assert shorten("山田", 4) == "山田"
    assert shorten("山田", 3) == "山…"


def test_layout_keeps_a_row_on_one_line_and_sends_nothing_to_the_terminal() -> None:
    lines = layout(("text",), [("two\nlines\x1b[2J\u2028",)]).splitlines()
    assert lines[2:] == ["two?lines?[2J?"]
