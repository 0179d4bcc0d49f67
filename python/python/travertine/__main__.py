"""``python -m travertine``: the command line."""

from __future__ import annotations

import signal
import sys

from ._travertine import command_line


def main() -> int:
    """Runs the command line with the arguments of this process; returns its exit status."""
    # The program has handlers of its own.
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    program = [sys.executable, "-m", "travertine"]
    return int(command_line(program, ["travertine", *sys.argv[1:]]))


if __name__ == "__main__":
    sys.exit(main())
