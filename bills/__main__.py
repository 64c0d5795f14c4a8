"""Run the command line: ``python -m bills``."""

import io
import os
import sys

from bills.cli import main


def run() -> int:
    """Call `main`, and end without a traceback when the output cannot be written."""
    if isinstance(sys.stdout, io.TextIOWrapper):
        # A terminal that cannot show a character gets \xe9 rather than a UnicodeEncodeError.
        sys.stdout.reconfigure(errors="backslashreplace")
    try:
        try:
            return main()
        finally:
            print(end="", flush=True)  # what argparse printed may still be in the buffer
    except KeyboardInterrupt:
        return 130
    except OSError as error:
        # Python flushes once more when it exits: give it somewhere to write to.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        if isinstance(error, BrokenPipeError):
            return 141  # the reader (`| head -1`) had enough: what a shell reports for SIGPIPE
        print(f"error: cannot write the output: {error.strerror}", file=sys.stderr)
        return 1


if __name__ == "__main__":
    sys.exit(run())
