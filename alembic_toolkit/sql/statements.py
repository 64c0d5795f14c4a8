"""Split an SQL file into its statements."""

from __future__ import annotations

import itertools
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import cache
from typing import NoReturn, TextIO

from alembic_toolkit.sql.quoting import brief


@dataclass
class Statement:
    """A statement exactly as in its file, without its semicolon."""

    text: str
    line: int
    is_compound: bool  # it contains statements with their own semicolons


@dataclass(eq=False)
class Unreadable(Exception):
    """The reason why a file cannot be split, or can be run only by the server's client."""

    problem: str
    line: int
    way: str


@dataclass(frozen=True, eq=False)
class Syntax:
    """Where a server allows semicolons that end nothing; the strings are regular expressions.

    Text between two marks is skipped at once, and so are the marks that ``plain`` matches.
    """

    marks: str  # the beginning of a quote, a comment or a command
    first: str  # the characters that marks begin with
    plain: str  # simple quotes, and text that only resembles a mark
    bodies: frozenset[str]  # CREATE <this> has statements inside
    track: Callable[[list[str], list[str]], None]  # updates the stack of open blocks
    has_escapes: bool = False  # a backslash is an escape in every string
    nests_comments: bool = False
    blocks: frozenset[str] = frozenset()  # statements that contain others, without CREATE
    client: frozenset[str] = frozenset()  # commands that only the server's client understands


NAME = r"(?:[^\W\d]|[^\x00-\x7f])(?:[\w$]|[^\x00-\x7f])* | \d[\w.]*"
CLOSERS = {"'": "'", '"': '"', "`": "`", "[": "]"}


@cache
def scanner_of(syntax: Syntax, delimiter: str, with_words: bool) -> re.Pattern[str]:
    """Return a scanner for the next relevant token: each word, or only what hides semicolons."""
    end, first = re.escape(delimiter), re.escape(delimiter[0])
    if with_words:
        name = NAME if delimiter == ";" else rf"(?:(?!{end})(?:[\w$]|[^\x00-\x7f]))+"
        return re.compile(rf"{end} | {syntax.marks} | {name} | :=? | \S", re.X)
    single = "" if re.match(f"[{syntax.first}]", delimiter) else f"| {first}"
    # bounded, because each repetition of an unbounded one uses memory
    run = rf"(?:(?!{end})(?:[^{syntax.first}{first}]+ | {syntax.plain} {single})){{1,500}}"
    return re.compile(rf"{end} | (?P<run>{run}) | {syntax.marks} | .", re.X | re.S)


@dataclass
class Reader:
    """Reads a file, skipping quotes and comments, in time linear in its length."""

    text: str
    syntax: Syntax
    delimiter: str = ";"
    start: int = 0  # of the last token
    end: int = 0
    in_executable: bool = False  # in /*! ... */, which MariaDB and MySQL run
    is_ended: bool = False  # by its delimiter, and not by the end of the text
    stack: list[str] = field(default_factory=list)

    def token(self, with_words: bool) -> str:
        """Return the next token except comments, in upper case; for a quote, its first mark."""
        scanner = scanner_of(self.syntax, self.delimiter, with_words)
        while match := scanner.search(self.text, self.end):
            token, self.start, self.end = match[0], match.start(), match.end()
            if token == self.delimiter:
                return token
            if match.lastgroup == "run" and not token.isspace():
                return "_"
            if token.isspace() or token.startswith(("--", "#")):
                continue
            if token == "/*":
                self._pass_comment()
            elif token.startswith("/*") or token == "*/":
                self.in_executable = token != "*/"
                return token
            else:
                return self._passed(token)
        return ""

    def _passed(self, token: str) -> str:
        before = self.text[max(self.start - 2, 0) : self.start]
        if token[0] in CLOSERS:
            escaped = self.syntax.has_escapes or re.search(r"(?<![\w$])[eE]$", before) is not None
            self._pass(CLOSERS[token[0]], escaped and token != "`")
        elif token[0] == "$" and not re.search(r"[\w$]$", before):
            tag = DOLLAR.match(self.text, self.start)
            if tag is not None:
                self.end = tag.end()
                self._pass(tag[0], False)
        elif before[-1:] in (".", "@") and token[0] not in "()":
            return "_"  # a column or a variable with any name
        return token.upper()

    def _pass(self, closer: str, has_escapes: bool) -> None:
        if not has_escapes:  # a doubled quote is read as the next string, with the same result
            found = self.text.find(closer, self.end)
            self.end = found + len(closer)
            if found >= 0:
                return
        else:
            for match in ESCAPES[closer].finditer(self.text, self.end):
                if match[0] == closer:
                    self.end = match.end()
                    return
        self.refuse(f"what begins here with {closer} has no end", "close it")

    def _pass_comment(self) -> None:
        depth = 1
        for match in COMMENT_MARKS.finditer(self.text, self.end):
            if match[0] == "*/" or self.syntax.nests_comments:
                depth += 1 if match[0] == "/*" else -1
            if depth == 0:
                self.end = match.end()
                return
        self.refuse("the comment that begins here has no end", "close it with */")

    def refuse(self, problem: str, way: str, start: int | None = None) -> NoReturn:
        place = self.start if start is None else start
        raise Unreadable(problem, self.text.count("\n", 0, place) + 1, way)

    def statement(self) -> tuple[int, int, bool] | None:
        """Read to the end of the next statement; return its position, None after the last one."""
        tokens: list[str] = []
        begun, ended, compound = -1, -1, None
        self.stack, self.in_executable, self.is_ended = [], False, False
        while token := self.token(with_words=compound is not False):
            if token == self.delimiter and not self.stack and not self.in_executable:
                if tokens or begun >= 0:
                    self.is_ended = True
                    break
                continue
            begun, ended = self.start if begun < 0 else begun, self.end
            if token.startswith("/*") or token == "*/":
                continue
            tokens.append(token)
            if len(tokens) == 1 and self._is_directive(token):
                tokens, begun = [], -1
                continue
            if token == "\\":
                self._refuse_command()
            if compound is None:
                compound = self._is_compound(tokens)
            elif compound:
                self.syntax.track(tokens, self.stack)
            else:
                del tokens[1:]
        if self.stack or self.in_executable:
            what = self.stack[-1] if self.stack else "/*!"
            self.refuse(
                f"the statement that begins here has no end: {what} is open", "end it", begun
            )
        return None if begun < 0 else (begun, ended, bool(compound))

    def _is_compound(self, tokens: list[str]) -> bool | None:
        """Tell whether it contains statements; None while that is unknown."""
        compound = has_body(tokens, self.syntax) if self.delimiter == ";" else False
        for count in range(1, len(tokens) + 1) if compound else ():
            self.syntax.track(tokens[:count], self.stack)
        return compound

    def _is_directive(self, word: str) -> bool:
        """Execute a DELIMITER; refuse other commands that only a client understands."""
        if word not in self.syntax.client:
            return False
        end = self.text.find("\n", self.end)
        rest = self.text[self.end : end if end >= 0 else len(self.text)].split()
        if word != "DELIMITER":
            self._refuse_command()
        if not rest:
            self.refuse("DELIMITER says none", "DELIMITER //")
        self.delimiter = rest[0]
        self.end = end if end >= 0 else len(self.text)
        return True

    def _refuse_command(self) -> NoReturn:
        line = self.text[self.start :].split("\n", 1)[0]
        self.refuse(f"{brief(line)}: only the server's client knows this", "leave it out")


DOLLAR = re.compile(r"\$(?:(?:[^\W\d]|[^\x00-\x7f])(?:\w|[^\x00-\x7f])*)?\$")
COMMENT_MARKS = re.compile(r"/\*|\*/")
# a string that continues on the next line keeps its E:
# https://www.postgresql.org/docs/current/sql-syntax-lexical.html#SQL-SYNTAX-STRINGS-ESCAPE
ESCAPES = {q: re.compile(rf"\\.|{q}{q}|{q}[ \t\r\f]*\n\s*{q}|{q}", re.S) for q in "'\""}


def first_words(text: str, syntax: Syntax, count: int = 2) -> list[str]:
    """Return the first words of a text without comments, in upper case; for a quote, its mark."""
    reader, words = Reader(text, syntax), list[str]()
    try:
        while len(words) < count and (token := reader.token(with_words=True)):
            words.append(token)
    except Unreadable:  # an unterminated comment: the server will report the error
        words.append("")
    return words


def is_comment(text: str, syntax: Syntax) -> bool:
    """Tell whether a text contains only comments."""
    return not first_words(text, syntax, 1)


def apart(text: str, syntax: Syntax) -> list[str]:
    """Return the statements of a text.

    :raises Unreadable: something in it has no end.
    """
    reader, found = Reader(text, syntax), list[str]()
    while place := reader.statement():
        found.append(text[place[0] : place[1]])
    return found


def terminated(sql: str) -> str:
    """Return a statement with its semicolon, which a comment at its end does not swallow."""
    last = sql[sql.rfind("\n") + 1 :]
    return f"{sql}\n;" if "--" in last or "#" in last else f"{sql};"


WINDOW = 1_000_000  # characters of a file that are read together, unless a statement is longer


def split_statements(file: TextIO, syntax: Syntax) -> Iterator[Statement]:
    """Split an SQL file; text between statements is omitted.

    It may be larger than memory.  A statement cut off by a window is read again in a larger one.

    :raises Unreadable: at the first part that cannot be run, or has no end.
    """
    text, delimiter, line, is_whole = file.read(1).removeprefix("\ufeff"), ";", 1, False
    while not is_whole:
        more = file.read(max(WINDOW, len(text)))
        text, is_whole = text + more, not more
        reader, done, counted = Reader(text, syntax, delimiter), 0, 0
        for start, end, is_compound in _complete(reader, is_whole, line):
            line, counted = line + text.count("\n", counted, start), start
            sql = text[start:end].rstrip()
            is_compound = is_compound or (reader.delimiter != ";" and ";" in sql)
            statement = Statement(sql, line, is_compound)
            refuse_what_alembic_does(statement)
            yield statement
            done, delimiter = reader.end, reader.delimiter
        line += text.count("\n", counted, done)
        text = text[done:]


def _complete(reader: Reader, is_whole: bool, line: int) -> Iterator[tuple[int, int, bool]]:
    """Yield the statements, except one that ends only with the text, if more text follows."""
    try:
        while (place := reader.statement()) and (is_whole or reader.is_ended):
            yield place
    except Unreadable as error:
        if is_whole:
            raise Unreadable(error.problem, error.line + line - 1, error.way) from None


def refuse_what_alembic_does(statement: Statement) -> None:
    words = " ".join(LEADING.sub("", statement.text[:200]).upper().split())
    if TRANSACTION.match(words):
        raise Unreadable(
            f"{brief(statement.text)}: the transaction is Alembic's",
            statement.line,
            "leave it out; or split the file, and put a part in get_context().autocommit_block()",
        )
    if words.startswith("COPY ") and FROM_STDIN.search(statement.text):
        raise Unreadable(
            "COPY FROM stdin has its data in the file, which only psql can send",
            statement.line,
            "write the rows as INSERT: pg_dump --inserts",
        )


LEADING = re.compile(r"\A/\*M?!\d*\s*")
FROM_STDIN = re.compile(r"\bFROM\s+STDIN\b", re.I)
TRANSACTION = re.compile(
    r"(BEGIN(?! NOT ATOMIC)|END|COMMIT|ABORT|START TRANSACTION|PREPARE TRANSACTION)\b"
    r"|ROLLBACK\b(?!( WORK| TRANSACTION)? TO\b)"
)
# other objects of CREATE and ALTER, which never contain statements
PLAIN = {"TABLE", "VIEW", "INDEX", "DATABASE", "SCHEMA", "USER", "ROLE", "SEQUENCE", "TYPE", "AS"}


def has_body(tokens: list[str], syntax: Syntax) -> bool | None:
    """Tell whether a statement with this beginning contains others; None if still unknown."""
    if tokens[0] in syntax.blocks:
        # outside a procedure on MariaDB: https://mariadb.com/kb/en/begin-end/
        return tokens[0] != "BEGIN" or (None if len(tokens) == 1 else tokens[1] == "NOT")
    if tokens[0] not in {"CREATE", "ALTER"} or tokens[-1] in PLAIN or len(tokens) > 16:
        return False
    return True if tokens[-1] in syntax.bodies else None


_numbers = itertools.count()


def explained(sql: str) -> str:
    """Return a statement that makes SQLite plan another one, afresh each time.

    Python's driver caches statements by their text. A normal statement is prepared again when the
    schema has changed; an EXPLAIN is not: https://www.sqlite.org/lang_explain.html
    """
    return f"EXPLAIN {sql} -- {next(_numbers)}"
