"""Ask the page how it is, where there is no curl: ``python -m bills.probe http://127.0.0.1:8000``.

Prints the status, and the line of an answer that is one. The exit status is 0 if all is well: so
it does for the ``HEALTHCHECK`` of a container, with ``/ready``.
"""

import http.client
import sys
from collections.abc import Sequence
from urllib.parse import urlsplit


def main(argv: Sequence[str]) -> int:
    """Ask one address; return 0 for a status below 400, otherwise 1."""
    if len(argv) != 1 or not argv[0].startswith("http://"):
        print("usage: python -m bills.probe http://HOST:PORT/PATH", file=sys.stderr)
        return 2
    address = urlsplit(argv[0])
    try:
        connection = http.client.HTTPConnection(address.netloc, timeout=10)
        connection.request("GET", address.path or "/")
        answer = connection.getresponse()
        text = answer.read().decode(errors="replace").strip()
    except (OSError, http.client.HTTPException) as error:
        print(f"error: {address.netloc}: {error or type(error).__name__}", file=sys.stderr)
        return 1
    is_line = answer.getheader("Content-Type", "").startswith("text/plain")
    print(f"{answer.status} {answer.reason}" + (f": {text}" if is_line else ""))
    return 0 if answer.status < 400 else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
