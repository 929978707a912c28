"""The `breakwater` command: one door to everything the platform can do from a terminal.

Commands live in their rooms and are imported only when they are run, so that help and completion
answer at once. A mistake of the caller is one line on standard error and exit status 2; a signal
ends quietly with 130.
"""

from breakwater.cli.program import main

__all__ = ["main"]
