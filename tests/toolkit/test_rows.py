"""Rows: what `fill` writes on each server, what `read` finds equal, what the comparison calls lost."""

from __future__ import annotations

from typing import Any

import pytest
import sqlalchemy as sa
from sqlalchemy import Connection

from alembic_toolkit import rows
from tests.databases import Database
from tests.toolkit.conftest import execute

# Fill: tables that make it hard

UGLY = {
    "sqlite": """
        CREATE TABLE "we""ird %s :x" ("id" INTEGER PRIMARY KEY, "a b%" VARCHAR(7) NOT NULL,
          flag BOOLEAN NOT NULL CHECK (flag IN (0, 1)), b BLOB, j JSON, UNIQUE ("a b%", flag));
        CREATE TABLE tree (id INTEGER PRIMARY KEY, up INTEGER NOT NULL REFERENCES tree (id), d DATE,
          t DATETIME, CHECK (d IS NULL OR t IS NULL OR d < t));
        CREATE TABLE pair (a INTEGER NOT NULL, b TEXT NOT NULL, low NUMERIC(6, 2) NOT NULL,
          high NUMERIC(6, 2), PRIMARY KEY (a, b), CHECK (low < high AND low BETWEEN 10 AND 20));
        CREATE TABLE child (id INTEGER PRIMARY KEY, a INTEGER, b TEXT, code CHAR(3) NOT NULL
          CHECK (length(code) = 3 AND code LIKE 'X%'), kind VARCHAR(9) CHECK (kind IN ('k1', 'k2')),
          FOREIGN KEY (a, b) REFERENCES pair (a, b) ON DELETE CASCADE);
        CREATE TABLE egg (id INTEGER PRIMARY KEY, hen INTEGER NOT NULL REFERENCES hen (id));
        CREATE TABLE hen (id INTEGER PRIMARY KEY, egg INTEGER NOT NULL REFERENCES egg (id));
        CREATE TABLE nokey (x TEXT, n INTEGER GENERATED ALWAYS AS (length(x)) STORED);
        CREATE UNIQUE INDEX ux ON nokey (lower(x)) WHERE x <> '';
        CREATE TABLE one (only BOOLEAN PRIMARY KEY CHECK (only = 1));
    """,
    "postgresql": """
        CREATE SCHEMA "Odd %s";
        CREATE TYPE "Odd %s".mood AS ENUM ('so', 'it''s', '100%');
        CREATE DOMAIN money_ AS numeric(8, 2) CHECK (VALUE > 0) NOT NULL;
        CREATE DOMAIN mail AS text CHECK (VALUE LIKE '%@%.%');
        CREATE TABLE "Odd %s"."we""ird :x" (id serial PRIMARY KEY, "a b%" varchar(7) NOT NULL,
          flag boolean NOT NULL, m "Odd %s".mood NOT NULL, ms "Odd %s".mood[], b bytea, j jsonb,
          UNIQUE ("a b%", flag));
        CREATE TABLE tree (id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
          up bigint NOT NULL REFERENCES tree (id), d date, t timestamptz, i interval,
          CHECK (d < t), CHECK (id > 0));
        CREATE TABLE pair (a integer NOT NULL, b text NOT NULL, low numeric(6, 2) NOT NULL,
          high numeric(6, 2), PRIMARY KEY (a, b), CHECK (low < high AND low BETWEEN 10 AND 20));
        CREATE TABLE child (id uuid PRIMARY KEY, a integer, b text, code char(3) NOT NULL
          CHECK (length(code) = 3 AND code ~ '^X'), price money_, mail mail,
          kind varchar(9) CHECK (kind IN ('k1', 'k2')), net inet NOT NULL, v tsvector, r int4range,
          FOREIGN KEY (a, b) REFERENCES pair (a, b) ON DELETE CASCADE);
        CREATE TABLE egg (id integer PRIMARY KEY, hen integer NOT NULL);
        CREATE TABLE hen (id integer PRIMARY KEY, egg integer NOT NULL REFERENCES egg (id)
          DEFERRABLE INITIALLY IMMEDIATE);
        ALTER TABLE egg ADD FOREIGN KEY (hen) REFERENCES hen (id) DEFERRABLE;
        CREATE TABLE nokey (x text, n integer GENERATED ALWAYS AS (length(x)) STORED);
        CREATE UNIQUE INDEX ux ON nokey (lower(x)) WHERE x <> '';
        CREATE TABLE one (only_ boolean PRIMARY KEY CHECK (only_));
        CREATE TABLE parts (id integer, d date NOT NULL) PARTITION BY RANGE (d);
        CREATE TABLE parts_1 PARTITION OF parts DEFAULT;
        CREATE TABLE heir (extra text) INHERITS (one);
    """,
    "mariadb": """
        CREATE TABLE `we``ird %s :x` (id INTEGER PRIMARY KEY AUTO_INCREMENT,
          `a b%` VARCHAR(7) NOT NULL, flag BOOLEAN NOT NULL, m ENUM('so', 'it''s', '100%') NOT NULL,
          s SET('a', 'b'), b BLOB, j JSON, bits BIT(3), y YEAR, UNIQUE (`a b%`, flag));
        CREATE TABLE tree (id BIGINT UNSIGNED PRIMARY KEY AUTO_INCREMENT,
          up BIGINT UNSIGNED NOT NULL REFERENCES tree (id), d DATE, t DATETIME(3), ts TIMESTAMP NULL,
          CHECK (d < t));
        CREATE TABLE pair (a INTEGER NOT NULL, b VARCHAR(30) NOT NULL, low NUMERIC(6, 2) NOT NULL,
          high NUMERIC(6, 2), PRIMARY KEY (a, b), CHECK (low < high AND low BETWEEN 10 AND 20));
        CREATE TABLE child (id UUID PRIMARY KEY, a INTEGER, b VARCHAR(30), code CHAR(3) NOT NULL
          CHECK (char_length(code) = 3 AND code LIKE 'X%'), old VARCHAR(20) CHARACTER SET latin1,
          kind VARCHAR(9) CHECK (kind IN ('k1', 'k2')), f FLOAT, t TEXT, UNIQUE ut (t(4)),
          FOREIGN KEY (a, b) REFERENCES pair (a, b) ON DELETE CASCADE);
        CREATE TABLE egg (id INTEGER PRIMARY KEY, hen INTEGER NOT NULL);
        CREATE TABLE hen (id INTEGER PRIMARY KEY, egg INTEGER NOT NULL REFERENCES egg (id));
        ALTER TABLE egg ADD FOREIGN KEY (hen) REFERENCES hen (id);
        CREATE TABLE nokey (x TEXT, n INTEGER AS (char_length(x)) STORED);
        CREATE TABLE one (only_ BOOLEAN PRIMARY KEY CHECK (only_ = 1));
        CREATE SEQUENCE seq;
        CREATE TABLE numbered (id INTEGER PRIMARY KEY DEFAULT (nextval(seq)), t VARCHAR(3));
    """,
}


def make(database: Database, script: str) -> None:
    with database.engine.begin() as connection:
        for statement in script.split(";\n"):
            if statement.strip():
                connection.exec_driver_sql(
                    statement.replace("%", "%%") if database.name != "sqlite" else statement
                )


def filled(connection: Connection, **options: Any) -> tuple[rows.Filled, rows.Rows]:
    tables = rows.look(connection)
    done = rows.fill(connection, tables, **options)
    return done, rows.read(connection, tables)


def content(connection: Connection) -> rows.Rows:
    return rows.read(connection, rows.look(connection))


def test_fill_fills_every_table_when_the_schema_is_ugly(database: Database) -> None:
    make(database, UGLY[database.name])
    with database.engine.begin() as connection:
        done, found = filled(connection)
    assert done.lines() == []
    assert all(content.rows for content in found.values())
    assert {name: len(content.rows) for name, content in found.items()} == done.written
