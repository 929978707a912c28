"""The `breakwater` command: one door to everything the platform can do from a terminal.

Commands live in their rooms and are imported only when they are run, so that help and completion
answer at once. A mistake of the caller is one line on standard error and exit status 2; a signal
ends quietly with 130.
"""

import sys
from collections.abc import Sequence

__all__ = ["main"]


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command line, by default that of this process; returns the exit status."""
    try:
        from breakwater.cli.program import main as run  # noqa: PLC0415 - may have to be explained
    except ModuleNotFoundError as missing:
        if missing.name is None or missing.name.startswith("breakwater"):
            raise
        sys.stderr.write(
            f"breakwater: the commands need '{missing.name}', which a service does not: "
            "install them with: pip install 'breakwater[server]'\n"
        )
        return 2
    return run(arguments)
