"""Running a command, and what is said when it fails."""

import sys
from collections.abc import Sequence
from typing import Final

import click

from breakwater.cli.commands import LazyGroup
from breakwater.model import BreakwaterError

MISTAKE: Final = 2
INTERRUPTED: Final = 130


@click.group(cls=LazyGroup, context_settings={"help_option_names": ["-h", "--help"]})
@click.option("--traceback", is_flag=True, help="Show where in the program an error arose.")
def breakwater(*, traceback: bool) -> None:
    """Find the broken service in a microservice fleet, and prove that one failure stays one."""
    del traceback  # read in `main`, which also sees errors of loading a command


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command line; returns the exit status.

    0 done; 1 the command's own answer was no; 2 a mistake in the input or something unavailable,
    told in one line on standard error; 130 interrupted.
    """
    given = list(sys.argv[1:] if arguments is None else arguments)
    try:
        result = breakwater.main(given, prog_name="breakwater", standalone_mode=False)
    except click.exceptions.Exit as end:
        return end.exit_code
    except (click.Abort, KeyboardInterrupt):
        return INTERRUPTED
    except click.ClickException as mistake:
        mistake.show()
        return MISTAKE
    except BrokenPipeError:
        return _stdout_is_gone()
    except (BreakwaterError, BaseExceptionGroup) as error:
        told = _told(error)
        if told is None or "--traceback" in given:
            raise
        return told
    return result if isinstance(result, int) else 0


def _told(error: BaseException) -> int | None:
    """Say what went wrong in one line; None when it is not for the caller to mend.

    Task groups wrap what ends them: the first of our own errors inside speaks for the group.
    """
    leaves = _leaves(error)
    if any(isinstance(leaf, KeyboardInterrupt) for leaf in leaves):
        return INTERRUPTED
    if not all(isinstance(leaf, BreakwaterError) for leaf in leaves):
        return None
    click.echo(f"breakwater: {' '.join(str(leaves[0]).split())}", err=True)
    return MISTAKE


def _leaves(error: BaseException) -> list[BaseException]:
    if isinstance(error, BaseExceptionGroup):
        return [leaf for inner in error.exceptions for leaf in _leaves(inner)]
    return [error]


def _stdout_is_gone() -> int:
    """Whoever read our output has left (`| head`): end without a complaint at exit."""
    import os  # noqa: PLC0415 - a rare path

    os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
    return 0
