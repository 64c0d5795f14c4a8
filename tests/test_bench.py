"""That scripts/bench runs, on a tiny size; what it measures is for people to read."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tests.bench.history import IMPORTS, SHARES, write
from tests.copies import copy_repository

pytestmark = pytest.mark.long


def test_bench_prints_both_tables_when_the_sizes_are_tiny(tmp_path: Path) -> None:
    copy = copy_repository(tmp_path / "clone")
    sizes = "--revisions 5 --rounds 1 --tables 2 --calls 1"
    outcome = copy.run(f"scripts/bench {sizes} sqlite verbs")
    assert outcome.status == 0, outcome.printed
    for direction in ("upgrade", "downgrade"):
        assert re.search(rf"^  {direction} +[\d.]+ +[\d.]+ +[\d.]+", outcome.printed, re.MULTILINE)
    for situation in ("absent", "there already"):
        assert f"sqlite: {situation}; looks" in outcome.printed
    assert re.search(r"^  create_foreign_key +\d+ ", outcome.printed, re.MULTILINE)
    assert "Traceback" not in outcome.printed


def test_bench_kills_a_backfill_and_counts_what_is_right(tmp_path: Path) -> None:
    copy = copy_repository(tmp_path / "clone")
    outcome = copy.run("scripts/bench --rows 3000 --rounds 1 sqlite backfill")
    assert outcome.status == 0, outcome.printed
    assert re.search(r"killed at .*: 3000 of 3000 rows right, 0 done twice", outcome.printed)
    assert "Traceback" not in outcome.printed


def test_bench_compares_writing_a_script_of_a_file_with_running_it(tmp_path: Path) -> None:
    copy = copy_repository(tmp_path / "clone")
    outcome = copy.run("scripts/bench --megabytes 1 --rounds 1 sqlite seed")
    assert outcome.status == 0, outcome.printed
    assert re.search(r"^  ratio +[\d.]+", outcome.printed, re.MULTILINE)
    assert "Traceback" not in outcome.printed


def test_bench_says_so_when_a_server_is_not_to_be_had(tmp_path: Path) -> None:
    copy = copy_repository(tmp_path / "clone")
    url = "mariadb+pymysql://nobody@127.0.0.1:1"
    outcome = copy.run(
        "scripts/bench --revisions 1 --tables 1 mariadb verbs",
        TEST_MARIADB_URL=url,
        REQUIRE_DATABASES="",
    )
    assert outcome.status == 0, outcome.printed
    assert re.fullmatch(
        r"mariadb: not measured: .* does not answer.*\n", outcome.printed, re.DOTALL
    )


def test_bench_writes_histories_that_differ_in_the_import_alone(tmp_path: Path) -> None:
    directories = write(tmp_path, 60)
    ours, plain = (sorted((directories[name] / "versions").iterdir()) for name in IMPORTS)
    assert len(ours) == len(plain) == 60
    text = "".join(path.read_text() for path in ours)
    text = text.replace(IMPORTS["helpers"], IMPORTS["plain"])
    assert text == "".join(path.read_text() for path in plain)
    assert sum(share for share, _ in SHARES.values()) == 100
    verbs = ["op.create_table", "op.add_column", "op.create_index", "batch.alter_column"]
    assert [
        verb for verb in [*verbs, "batch.create_unique", "op.execute"] if verb not in text
    ] == []
