"""Run statements on PostgreSQL in one block: one message to the server for all of them."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from contextlib import nullcontext

from sqlalchemy import Connection

from alembic_toolkit.database.driver import run
from alembic_toolkit.database.errors import is_lost
from alembic_toolkit.prove.deploy.code import Use
from alembic_toolkit.prove.deploy.one_by_one import Failed
from alembic_toolkit.rows.write import is_alone, undone
from alembic_toolkit.sql.quoting import postgresql_literal

# The block ends with an error, which undoes all of it and says what failed: any driver gives that.
# https://www.postgresql.org/docs/current/plpgsql-control-structures.html#PLPGSQL-ERROR-TRAPPING
# A part is run where the whole fails on what is in the rows; not where it names what is not there.
_BLOCK = """DO {block} DECLARE
  of_table pg_catalog.jsonb; one pg_catalog.jsonb; part pg_catalog.text;
  failed pg_catalog.jsonb := '[]';
BEGIN
  SET CONSTRAINTS ALL IMMEDIATE;
  FOR of_table IN SELECT * FROM pg_catalog.jsonb_array_elements({statements}) LOOP BEGIN
    FOR one IN SELECT * FROM pg_catalog.jsonb_array_elements(of_table) LOOP
      FOR part IN SELECT * FROM pg_catalog.jsonb_array_elements_text(one -> 'needs') LOOP
        BEGIN
          EXECUTE part;
        EXCEPTION WHEN OTHERS THEN NULL; END;
      END LOOP;
      BEGIN
        EXECUTE one ->> 'sql';
      EXCEPTION WHEN OTHERS THEN
        IF pg_catalog.jsonb_array_length(one -> 'parts') = 0 OR SQLSTATE IN ('42P01', '42703') THEN
          failed := failed || pg_catalog.jsonb_build_array(one ->> 'sql', SQLERRM);
        ELSE
          FOR part IN SELECT * FROM pg_catalog.jsonb_array_elements_text(one -> 'parts') LOOP
            BEGIN
              EXECUTE part;
              RAISE EXCEPTION USING ERRCODE = 'ZZ998';
            EXCEPTION WHEN SQLSTATE 'ZZ998' THEN NULL; WHEN OTHERS THEN
              failed := failed || pg_catalog.jsonb_build_array(part, SQLERRM);
            END;
          END LOOP;
        END IF;
      END;
    END LOOP;
    RAISE EXCEPTION USING ERRCODE = 'ZZ998';
  EXCEPTION WHEN SQLSTATE 'ZZ998' THEN NULL; END; END LOOP;
  RAISE EXCEPTION 'tried:%:', pg_catalog.encode(pg_catalog.convert_to(failed::text, 'UTF8'), 'hex');
END {block}"""
_TAG = "$alembic_toolkit$"
_TOLD = re.compile(r"tried:([0-9a-f]*):")


def fails(connection: Connection, uses: Sequence[Use]) -> Failed:
    """Run statements, table by table; return those that fail. Nothing is left of them."""
    groups: dict[str, list[_Statement]] = {}
    for number, use in enumerate(uses):
        group = f"{use.table}\0{number}" if use.is_alone else use.table
        needs = use.needs if use.is_alone else ()
        one: _Statement = {"sql": use.sql, "parts": use.parts, "needs": needs}
        groups.setdefault(group, []).append(one)
    return _run(connection, [*groups.values()])


def fails_alone(connection: Connection, uses: Sequence[Use]) -> Failed:
    """Run statements, each by itself; return those that fail. Nothing is left of them."""
    return _run(connection, [[{"sql": u.sql, "parts": (), "needs": u.needs}] for u in uses])


_Statement = Mapping[str, str | Sequence[str]]


def _run(connection: Connection, groups: Sequence[Sequence[_Statement]]) -> Failed:
    given = postgresql_literal(json.dumps(groups))
    block = _BLOCK.format(block=_TAG, statements=given)
    try:
        with nullcontext() if is_alone(connection) else undone(connection):
            run(connection, block)
    except Exception as error:
        told = _TOLD.search(str(error))
        if told is None or is_lost(error, connection):
            raise
        found = json.loads(bytes.fromhex(told[1]))
        return dict(zip(found[::2], found[1::2], strict=True))
    raise AssertionError("the block ended without its error")
