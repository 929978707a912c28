"""`breakwater reference` on the command line."""

import msgspec
import pytest
from click.testing import CliRunner

from breakwater.model import ProcessSpec
from breakwater.reference import process
from breakwater.reference.commands import reference


def test_the_plan_is_a_table_or_json() -> None:
    """The JSON form is exactly the specs."""
    table = CliRunner().invoke(reference, ["plan"])
    assert table.exit_code == 0
    assert "gateway-a-1" in table.output
    told = CliRunner().invoke(reference, ["plan", "--json", "--base-port", "9100"])
    specs = msgspec.json.decode(told.output, type=list[ProcessSpec])
    assert specs[0].port == 9100
    assert specs[-1].name == "player"


@pytest.mark.parametrize(
    "arguments", [["plan", "--platform", "nonsense"], ["plan", "--base-port", "1"], ["serve", "x"]]
)
def test_bad_input_is_a_usage_error(arguments: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    """The exit code is 2 and the message says what is allowed; nothing is started."""
    for key in ("SERVICE", "INSTANCE", "ZONE", "PORT", "URL", "METRICS", "REFERENCE_SEED"):
        monkeypatch.setenv(f"BREAKWATER_{key}", "")  # restored afterwards
    result = CliRunner().invoke(reference, arguments)
    assert result.exit_code == 2
    assert "must" in result.output or "the fleet has" in result.output


@pytest.mark.parametrize(
    ("arguments", "told"),
    [([], "usage"), (["nobody"], "the fleet has"), (["player", "--rps", "x"], "--rps takes")],
)
def test_a_process_says_what_it_cannot_do(
    arguments: list[str], told: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """A wrong command line ends with code 2 and one line on standard error."""
    assert process.main(arguments) == 2
    assert told in capsys.readouterr().err


def test_the_world_comes_from_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """Seed, secret and rate are read; a seed that is no number is refused by name."""
    monkeypatch.setenv(process.SEED, "9")
    monkeypatch.setenv(process.SECRET, "hush")
    monkeypatch.setenv(process.RPS, "12.5")
    world = process.world_from_env()
    assert (world.seed, world.secret, world.rps) == (9, "hush", 12.5)
    monkeypatch.setenv(process.SEED, "nine")
    assert process.main(["account"]) == 2
