"""Names that people have given to tables and columns, or that somebody will."""

from __future__ import annotations

HOSTILE = [
    "Amount",
    "Amount Due",
    'quo"te',
    "apos'trophe",
    "back`tick",
    "select",
    "CHECK",
    "primary",
    "per%cent",
    "%s",
    "%(x)s",
    ":name",
    "a:b::c",
    "back\\slash",
    "back\\:colon",
    "ends\\",
    "dot.ted",
    "semi;colon",
    "br[ack]et",
    "com,ma",
    "par(en",
    ")",
    "two--dashes",
    "/*",
    "?",
    "$1",
    "größe",
    "emoji🎉",
    "new\nline",
]
# What matters only where a helper reads SQL itself: not on PostgreSQL.
SYNTAX = ["CHECK", "semi;colon", "br[ack]et", "par(en", ")", "two--dashes", "/*", "back\\:colon"]
# What the tests that need less use.
SOME = ["Amount Due", 'quo"te', "apos'trophe", "back`tick", "select", "per%cent", ":name"]
SOME += ["back\\slash", "dot.ted", "emoji🎉"]


def usable(server: str, name: str) -> str:
    """Return the name, or one like it that the server can hold."""
    if server in ("mariadb", "mysql"):  # https://mariadb.com/kb/en/identifier-names/#further-rules
        return name.replace("🎉", "☃")
    return name
