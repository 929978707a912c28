"""The command line: help, mistakes, exit codes, and that every command of the table exists."""

import subprocess
import sys

import click
import pytest
from click.testing import CliRunner

from breakwater import __version__
from breakwater.cli import main
from breakwater.cli.commands import TABLE, resolve
from breakwater.cli.errors import CommandMissingError
from breakwater.cli.program import breakwater
from breakwater.model import InvalidInputError


def run(*arguments: str) -> "subprocess.CompletedProcess[str]":
    """One real command line."""
    return subprocess.run(
        [sys.executable, "-m", "breakwater.cli", *arguments],
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )


@pytest.mark.parametrize("name", TABLE)
def test_every_command_resolves(name: str) -> None:
    """The table of lazy commands points at real ones that explain themselves."""
    entry = TABLE[name]
    command = resolve(name, entry)
    assert command.name == name
    assert (command.help or "").strip()
    assert CliRunner().invoke(command, ["--help"]).exit_code == 0


def test_help_lists_every_command_and_imports_none() -> None:
    """The overview comes from the table: no room is loaded for it."""
    code = (
        "import sys\nfrom breakwater.cli import main\ncode = main(['--help'])\n"
        "rooms = {'server', 'metrics', 'journal', 'registry', 'chaos', 'drill', 'incidents'}\n"
        "loaded = {n.split('.')[1] for n in sys.modules if n.startswith('breakwater.')}\n"
        "heavy = {'numpy', 'numba', 'sqlalchemy', 'rich', 'starlette'} & set(sys.modules)\n"
        "sys.exit(code or bool(loaded & rooms) or bool(heavy))\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=False, timeout=60
    )
    assert done.returncode == 0, done.stderr
    assert all(f"  {name} " in done.stdout for name in TABLE)


def test_version(capsys: pytest.CaptureFixture[str]) -> None:
    """`breakwater version` prints the version and nothing else."""
    assert main(["version"]) == 0
    assert capsys.readouterr().out == f"{__version__}\n"


def test_mistyped_command_names_the_nearest(capsys: pytest.CaptureFixture[str]) -> None:
    """A command that does not exist is exit 2 with a suggestion."""
    assert main(["serv"]) == 2
    assert "Did you mean 'serve'?" in capsys.readouterr().err


def test_unknown_option_is_a_mistake() -> None:
    """Options that do not exist are exit 2."""
    assert main(["version", "--nope"]) == 2


def failing(error: BaseException) -> click.Command:
    """A command that raises."""

    @click.command("fail")
    def fail() -> None:
        raise error

    return fail


@pytest.mark.parametrize(
    ("error", "code", "told"),
    [
        (
            InvalidInputError("the step is 7;\n allowed: 1"),
            2,
            "breakwater: the step is 7; allowed: 1\n",
        ),
        (ExceptionGroup("tasks", [InvalidInputError("x is 1")]), 2, "breakwater: x is 1\n"),
        (KeyboardInterrupt(), 130, "\n"),
        (BaseExceptionGroup("tasks", [KeyboardInterrupt()]), 130, ""),
    ],
)
def test_failures_are_told_in_one_line(
    error: BaseException,
    code: int,
    told: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """Our own errors are one line and exit 2, an interruption is quiet and 130."""
    monkeypatch.setattr(breakwater, "get_command", lambda _context, _name: failing(error))
    assert main(["version"]) == code
    assert capsys.readouterr().err == told


def test_traceback_shows_everything(monkeypatch: pytest.MonkeyPatch) -> None:
    """With --traceback the error itself comes out."""
    monkeypatch.setattr(
        breakwater, "get_command", lambda _context, _name: failing(InvalidInputError("x"))
    )
    with pytest.raises(InvalidInputError):
        main(["--traceback", "version"])


def test_errors_of_the_program_are_not_hidden(monkeypatch: pytest.MonkeyPatch) -> None:
    """What is not the caller's to mend is not dressed up as a mistake."""
    monkeypatch.setattr(
        breakwater, "get_command", lambda _context, _name: failing(ZeroDivisionError())
    )
    with pytest.raises(ZeroDivisionError):
        main(["version"])


def test_a_missing_library_is_named() -> None:
    """On a bare install the platform's commands say what to install."""
    entry = type(TABLE["version"])("breakwater.no_such_room:x", "")
    with pytest.raises(CommandMissingError, match=r"breakwater\[server\]"):
        resolve("x", entry)


@pytest.mark.slow
def test_module_and_script_agree() -> None:
    """`python -m breakwater.cli` is the same program."""
    done = run("version")
    assert (done.returncode, done.stdout) == (0, f"{__version__}\n")
    assert run("nope").returncode == 2


def test_an_install_without_the_server_extra_says_what_to_install() -> None:
    """Whoever installed only what a service needs is told how to get the commands."""
    code = (
        "import sys\nsys.modules['click'] = None\nfrom breakwater.cli import main\n"
        "sys.exit(main(['--help']))\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=False, timeout=60
    )
    assert done.returncode == 2
    assert done.stderr.count("\n") == 1
    assert "'breakwater[server]'" in done.stderr
