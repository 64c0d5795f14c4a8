"""Track nesting inside a statement: the bodies of triggers, functions and procedures."""

from __future__ import annotations

from alembic_toolkit.sql.statements import Syntax


def track_brackets(tokens: list[str], stack: list[str]) -> None:
    if tokens[-1] == "(":
        stack.append("(")
    elif tokens[-1] == ")" and stack[-1:] == ["("]:
        stack.pop()


def track_trigger(tokens: list[str], stack: list[str]) -> None:
    """Track a trigger by SQLite's own rule: https://www.sqlite.org/c3ref/complete.html."""
    if tokens[-1] == "TRIGGER" and not stack and tokens.count("TRIGGER") == 1:
        stack.append("TRIGGER")
    elif tokens[-2:] == [";", "END"]:
        stack.clear()


def track_atomic(tokens: list[str], stack: list[str]) -> None:
    """Track a body in standard SQL: BEGIN ATOMIC ... END, in which only CASE also has an END."""
    word = tokens[-1] if tokens[-2:-1] != ["AS"] else ""
    if tokens[-2:] == ["BEGIN", "ATOMIC"] or (word == "CASE" and stack):
        stack.append(word)
    elif word == "END" and stack[-1:] not in ([], ["("]):
        stack.pop()
    else:
        track_brackets(tokens, stack)


BLOCKS = {"BEGIN", "IF", "CASE", "LOOP", "REPEAT", "WHILE", "FOR"}
# after these a statement begins; before a body has begun, after the others
STARTS = {"", ";", "BEGIN", "THEN", "ELSE", "DO", "LOOP", "REPEAT", ":", "ATOMIC"}
STARTS |= {"FOUND", "SQLEXCEPTION", "SQLWARNING"}
BODY_STARTS = {"", ":", "ROW", ")", "DETERMINISTIC", "DATA", "SQL", "INVOKER", "DEFINER", "DO"}
BODY_STARTS |= {"'", '"'}
BEFORE_TYPE = {"FOLLOWS", "PRECEDES", "RETURNS", "CHARSET", "SET", "COLLATE"}
BEFORE_OPERAND = {"CASE", "WHEN", "THEN", "ELSE", "AND", "OR", "NOT", "SELECT", "DISTINCT", "BY"}
BEFORE_OPERAND |= {"WHERE", "FROM", "JOIN", "ON", "HAVING", "AS", "INTO", "UPDATE", "TABLE", "SET"}


def track_blocks(tokens: list[str], stack: list[str]) -> None:
    """Track a body on MariaDB or MySQL, where BEGIN, IF and REPEAT may be columns or functions.

    They open or close a block only where a statement can begin; ``case`` in lower case is the
    expression, whose END does not end a statement.
    """
    before, word = ["", *tokens[-2:]][-2:]
    top = stack[-1] if stack else ""
    starts = top not in ("(", "case") and begins_statement(tokens, bool(stack))
    if word == "CASE" and before != "END":
        stack.append("CASE" if starts else "case")
    elif word == "END" and (is_operand(before) if top == "case" else top in BLOCKS and starts):
        stack.pop()
    elif word == "REPEAT" and before == "END" and top == "REPEAT":
        stack.pop()  # UNTIL ... END REPEAT: this END follows an expression
    elif word in BLOCKS and starts and before != "END":
        stack.append(word)
    else:
        track_brackets(tokens, stack)


def begins_statement(tokens: list[str], is_inside: bool) -> bool:
    two, before, word = ["", "", *tokens[-3:]][-3:]
    if is_inside:
        return before in STARTS or (word == "BEGIN" and in_handler(tokens))
    if word == "FOR":
        return before in ("", ":")
    likely = before in BODY_STARTS or two in BEFORE_TYPE
    return likely or (word == "BEGIN" and before.isalnum() and is_operand(before))


def is_operand(token: str) -> bool:
    """Tell whether an expression can end with this token."""
    is_name = token[:1].isalnum() or token[:1] in tuple("_)'\"`")
    return is_name and token not in BEFORE_OPERAND


def in_handler(tokens: list[str]) -> bool:
    """Tell whether the reader is in DECLARE ... HANDLER FOR ..., before its statement."""
    recent = tokens[-40:-1][::-1]
    end = next((n for n, token in enumerate(recent) if token in (";", "BEGIN")), None)
    return {"DECLARE", "HANDLER"} <= {*recent[:end]}


# https://mariadb.com/kb/en/mariadb-command-line-client/#mysql-commands, without SQL words
MYSQL_CLIENT = "CHARSET CLEAR CONNECT DELIMITER EDIT EGO EXIT GO NOPAGER NOTEE NOWARNING PAGER"
MYSQL_CLIENT += " PRINT PROMPT QUIT REHASH SANDBOX SOURCE STATUS SYSTEM TEE WARNINGS"
SQLITE = Syntax(
    marks=r"""['"`\[] | --[^\n]* | /\*""",
    first=r""";'"`\[\-/""",
    plain=r"""'[^']*' | "[^"]*" | `[^`]*` | \[[^\]]*\] | -(?!-) | /(?!\*)""",
    bodies=frozenset({"TRIGGER"}),
    track=track_trigger,
    client=frozenset({"."}),
)
POSTGRESQL = Syntax(
    marks=r"""['"$\\] | --[^\r\n]* | /\*""",
    first=r""";'"$\\\-/""",
    plain=r"""(?<![eE])'[^']*' | "[^"]*" | -(?!-) | /(?!\*)""",
    bodies=frozenset({"FUNCTION", "PROCEDURE", "RULE"}),
    track=track_atomic,
    nests_comments=True,
)
MYSQL = Syntax(
    # \N is NULL, and -- begins a comment only before white space:
    # https://mariadb.com/kb/en/comment-syntax/
    marks=r"""['"`] | \\(N\b)? | --(?=[\0-\x20]|\Z)[^\n]* | \#[^\n]* | /\*(M?!\d*)? | \*/""",
    first=r""";'"`\\\-\#/*""",
    plain=r"""'[^'\\]*' | "[^"\\]*" | `[^`]*` | -(?!-) | /(?!\*) | \*(?!/) | \\N\b""",
    bodies=frozenset({"TRIGGER", "PROCEDURE", "FUNCTION", "EVENT", "PACKAGE"}),
    track=track_blocks,
    has_escapes=True,
    blocks=frozenset(BLOCKS),
    client=frozenset(MYSQL_CLIENT.split()),
)
