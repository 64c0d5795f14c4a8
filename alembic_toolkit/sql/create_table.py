"""Parse and reassemble CREATE TABLE and CREATE INDEX without loss."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Collection
from dataclasses import dataclass

from alembic_toolkit.sql.normal import words
from alembic_toolkit.sql.tokens import (
    TOKEN,
    closing_parenthesis,
    code_tokens,
    is_noise,
    split_list,
    tokenize,
    unquoted,
)


@dataclass
class TableText:
    """The text of a CREATE TABLE: up to the parenthesis, its items, and the rest."""

    items: list[str]
    tail: str


def parse_create_table(sql: str) -> TableText:
    text = split_items(tokenize(sql))
    return TableText([part for item in text.items for part in split_constraints(item)], text.tail)


def split_items(tokens: list[str]) -> TableText:
    """Split at the commas within the outer parentheses."""
    start, end = tokens.index("("), closing_parenthesis(tokens)
    items = ["".join(part) for part in split_list(tokens[start + 1 : end])]
    return TableText(items, "".join(tokens[end:]))


def leading_noise(item: str) -> str:
    """Return the white space and the comments before an item."""
    return "".join(itertools.takewhile(is_noise, tokenize(item)))


def without_items(items: list[str], gone: Callable[[str], bool]) -> list[str]:
    """Return the items without some of them; comments before these stay with the next item.

    A comment after a comma is usually about the item before the comma.
    """
    kept: list[str] = []
    comments = ""
    for item in items:
        leading = leading_noise(item)
        if gone(item):
            comments += leading if leading.strip() else ""
        else:
            kept.append(comments + item)
            comments = ""
    if comments and kept:
        kept[-1] = f"{kept[-1].rstrip()} {comments.strip()}\n"
    return kept


def split_constraints(item: str) -> list[str]:
    """Split table constraints that have no comma between them, which SQLite allows."""
    return [item] if is_column(item) else split_clauses(item, CONSTRAINT_STARTS)


CONSTRAINT_STARTS = words("CONSTRAINT PRIMARY UNIQUE CHECK FOREIGN")
CLAUSE_STARTS = words(
    "CONSTRAINT PRIMARY NOT NULL UNIQUE CHECK DEFAULT COLLATE REFERENCES GENERATED AS"
)
GLUED = {("NOT", "NULL"), ("DEFAULT", "NULL"), ("SET", "NULL"), ("SET", "DEFAULT")}
GLUED |= {("ALWAYS", "AS")}


def split_clauses(item: str, starts: Collection[str] = CLAUSE_STARTS) -> list[str]:
    """Split a column's definition: its name and type, then each of its constraints."""
    tokens = tokenize(item)
    folded = [token.upper() for token in tokens if not is_noise(token)]
    clauses, depth, seen = [""], 0, 0
    named = 0 if folded[:1] == ["CONSTRAINT"] else -9
    for token in tokens:
        if not is_noise(token):
            word, previous = folded[seen], folded[seen - 1] if seen else ""
            following = folded[seen + 1] if seen + 1 < len(folded) else ""
            begins = seen > 0 and depth == 0 and word in starts
            glued = (previous, word) in GLUED or (word, following) == ("NOT", "DEFERRABLE")
            # SQLite allows CONSTRAINT and a name with nothing after them.
            glued |= seen == named + 1 or (seen == named + 2 and word != "CONSTRAINT")
            if begins and not glued:
                clauses.append("")
                named = seen if word == "CONSTRAINT" else named
            depth += {"(": 1, ")": -1}.get(token, 0)
            seen += 1
        clauses[-1] += token
    return clauses


def join_clauses(clauses: list[str]) -> str:
    """Join the clauses of a column's definition, with one space between them."""
    text = clauses[0].rstrip()
    for clause in clauses[1:]:
        ends_in_comment = bool(tokenize(text)) and tokenize(text)[-1].startswith("--")
        text += ("\n" if ends_in_comment else " ") + clause.strip()
    return text + ("\n" if tokenize(text)[-1].startswith("--") else "")


KINDS_BY_WORD = {"PRIMARY": "primary", "UNIQUE": "unique", "CHECK": "check"}
KINDS_BY_WORD |= {"FOREIGN": "foreignkey", "REFERENCES": "foreignkey"}


def split_name(clause: str) -> tuple[str | None, list[str]]:
    """Return the name of a constraint (None without one) and its other tokens."""
    tokens = code_tokens(clause)
    if tokens and tokens[0].upper() == "CONSTRAINT":
        return unquoted(tokens[1]), tokens[2:]
    return None, tokens


def first_word(clause: str) -> str:
    """Return the first word of a constraint or a column after CONSTRAINT and a name, if any."""
    words = (match[0] for match in TOKEN.finditer(clause) if not is_noise(match[0]))
    word = next(words, "")
    return next(itertools.islice(words, 1, None), "") if word.upper() == "CONSTRAINT" else word


def kind_of(clause: str) -> str | None:
    return KINDS_BY_WORD.get(first_word(clause).upper())


def is_column(item: str) -> bool:
    first = first_word(item).upper()
    return first not in KINDS_BY_WORD and first not in ("", "CONSTRAINT")


def column_name(item: str) -> str:
    """Return the folded name of the column that an item defines."""
    return unquoted(first_word(item)).lower()


def column_position(items: list[str], column: str) -> int:
    names = [column_name(item) if is_column(item) else None for item in items]
    return names.index(column.lower())


# words that cannot be unquoted column names: https://www.sqlite.org/lang_keywords.html
RESERVED = words(
    "AND AS BETWEEN CASE CHECK COLLATE CONSTRAINT DEFAULT DISTINCT ELSE ESCAPE EXISTS FOREIGN FROM"
    " IN IS ISNULL NOT NOTNULL NULL ON OR PRIMARY REFERENCES SELECT SET TABLE THEN UNIQUE WHEN"
    " WHERE"
)
# words that are columns where one is required, and otherwise operators and the like
OPERATORS = words("ASC DESC END GLOB LIKE MATCH REGEXP NULLS FIRST LAST")
BEFORE_NAME = {"", *words("( , = < > + - * / | & % ~ || << >> <= >= <> != == -> ->>")}
BEFORE_NAME |= words("AND OR WHEN THEN ELSE BETWEEN WHERE")


def references_column(text: str, column: str) -> bool:
    """Tell whether SQLite's SQL uses a column, which may have the name of a function or keyword."""
    tokens = code_tokens(text)
    return any(
        unquoted(token).lower() == column.lower()
        and (token[0] in '"`[' or is_column_reference(before.upper(), token.upper(), after))
        for before, token, after in zip(["", *tokens], tokens, [*tokens[1:], ""], strict=False)
    )


def is_column_reference(before: str, word: str, after: str) -> bool:
    """Tell whether an unquoted word is a column, by its context."""
    if word[0] == "'" or word in RESERVED or after == "(" or before == "COLLATE":
        return False
    return word not in OPERATORS or before in BEFORE_NAME


def inside_parentheses(constraint: str) -> str:
    """Return the columns or expression of a constraint, without its name and reference."""
    tokens = code_tokens(constraint)
    start = tokens.index("(") if "(" in tokens else len(tokens)
    return " ".join(tokens[start : closing_parenthesis(tokens) + 1])


def constraint_uses(item: str, column: str) -> bool:
    """Tell whether an item, or one of its clauses, is a constraint that uses the column."""
    return not is_column(item) and references_column(inside_parentheses(item), column)


def without_checks_on(item: str, column: str) -> str:
    """Return another column's definition without the checks that use the column."""
    if not is_column(item):
        return item
    name, *clauses = split_clauses(item)
    kept = [c for c in clauses if kind_of(c) != "check" or not constraint_uses(c, column)]
    return item if kept == clauses else join_clauses([name, *kept])


def index_definition(sql: str) -> str:
    """Reduce a CREATE INDEX to what it indexes."""
    tokens = tokenize(sql)
    start = tokens.index("(")
    kinds = [t.upper() for t in tokens[:start] if t.upper() in ("UNIQUE", "FULLTEXT", "SPATIAL")]
    return " ".join([*kinds, "".join(tokens[start:])])
