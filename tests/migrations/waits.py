"""Who waits for the example's revisions, on each server: exactly what they deserve."""

from __future__ import annotations

_ALL = "who writes, to any table, waits while all rows of {}"
_SAME = "who writes to the same rows of {} waits until the transaction ends"

_SQLITE = {
    "0002": [(19, _ALL.format("bills are read"))],
    "0004": [(19, _ALL.format("bills are copied"))],
    "0006": [
        (20, _ALL.format("bills are copied")),
        (23, _ALL.format("bills are copied")),
        (31, _ALL.format("bills are read")),
    ],
    "0007": [
        (60, _ALL.format("audit and bills are read")),
        (70, _ALL.format("audit are read")),
        (76, _ALL.format("bills are read")),
    ],
    "0008": [(18, _ALL.format("bills are copied"))],
    "0009": [
        (33, _ALL.format("users are read")),
        (46, _ALL.format("audit and users are read")),
        (47, _ALL.format("users are copied")),
    ],
    "0010": [
        (38, _ALL.format("bills are copied")),
        (39, _ALL.format("bills are read")),
        (44, _ALL.format("audit and bills are read")),
        (45, _ALL.format("audit are read")),
    ],
    "0011": [(20, _ALL.format("bills are read"))],
    "0014": [(15, _ALL.format("bills are read")), (16, _ALL.format("bills are copied"))],
}
_EVERYBODY = "everybody who uses {} waits while all its rows are {}"
_POSTGRESQL = {
    "0002": [(19, _EVERYBODY.format("bills", "read"))],
    "0006": [
        (20, _EVERYBODY.format("bills", "copied")),
        (23, _EVERYBODY.format("bills", "copied")),
    ],
    "0007": [
        (
            48,
            "holds bills while it fills payments (line 60): who writes to bills waits until the"
            " transaction ends",
        )
    ],
    "0009": [(46, _SAME.format("users")), (47, _EVERYBODY.format("users", "read"))],
    "0010": [
        (
            38,
            "holds bills while it changes bills (line 39): everybody who uses bills waits until the"
            " transaction ends",
        )
    ],
    "0014": [(15, _SAME.format("bills")), (16, _EVERYBODY.format("bills", "read"))],
}
_MYSQL = {
    "0006": [
        (20, "who writes to bills waits while all its rows are copied"),
        (23, "who writes to bills waits while all its rows are copied"),
    ],
    "0007": [(60, _SAME.format("audit or bills")), (76, _SAME.format("bills"))],
    "0009": [(33, _SAME.format("users")), (46, _SAME.format("audit or users"))],
    "0010": [(39, _SAME.format("bills or payments")), (44, _SAME.format("audit or bills"))],
    "0014": [(15, _SAME.format("bills"))],
}
WAITS = {"sqlite": _SQLITE, "postgresql": _POSTGRESQL, "mariadb": _MYSQL, "mysql": _MYSQL}
