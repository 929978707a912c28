"""Where live settings come from: environment, a watched file, the platform."""

import json
import os
from collections.abc import Callable
from pathlib import Path
from random import Random

import msgspec
import pytest
from tests.sdk.fleet import Platform
from tests.sdk.guard.commanding import guards_of

from breakwater.model import GuardConfig, GuardExpiry
from breakwater.sdk import CommandConfig, Service, SettingsError
from breakwater.sdk.guard import Command, Guards, LiveConfig
from breakwater.sdk.guard.live.push import PlatformSettings
from breakwater.sdk.guard.live.sources import SettingsFile, put_environment
from breakwater.sdk.guard.tuning.layers import entries_of, folded
from breakwater.sdk.settings import resolve_settings
from breakwater.testing import FakeClock


@pytest.fixture
def guards(clock: FakeClock) -> Guards:
    """An empty registry."""
    return guards_of(clock)


@pytest.fixture
def live(guards: Guards) -> LiveConfig:
    """Its live configuration."""
    return LiveConfig(guards)


@pytest.fixture
def catalog(guards: Guards) -> Command:
    """A command whose name no shell would take."""
    return guards.command("catalog-db.read", CommandConfig(timeout_s=9.0), group="home page")


# The environment


def test_variables_set_defaults_groups_and_commands(live: LiveConfig, catalog: Command) -> None:
    """Scope, name and key are joined by two underscores; a name is written in capitals."""
    put_environment(
        live,
        {
            "BREAKWATER_GUARD__DEFAULT__BREAKER__OPEN_S": "4",
            "BREAKWATER_GUARD__GROUP__HOME_PAGE__RETRY": "{}",
            "BREAKWATER_GUARD__COMMAND__CATALOG_DB_READ__RETRY__BUDGET__RATIO": "0.2",
            "BREAKWATER_GUARD__COMMAND__CATALOG_DB_READ__TIMEOUT_S": "0.5",
            "BREAKWATER_GUARD__COMMAND__OTHER__TIMEOUT_S": "0.1",
            "BREAKWATER_GUARDS_FILE": "not a setting of a command",
        },
    )
    config = catalog.config
    assert config.timeout_s == 0.5
    assert config.breaker is not None
    assert config.breaker.open_s == 4.0
    assert config.retry is not None
    assert config.retry.budget.ratio == 0.2
    assert live.origin("catalog-db.read", "timeout_s") == ("environment", "command")


@pytest.mark.parametrize(
    ("name", "written"),
    [("catalog-db.read", "CATALOG_DB_READ"), ("Rank", "RANK"), ("a__b", "A__B"), ("ü", "_")],
)
def test_names_are_folded(name: str, written: str) -> None:
    """Every character that is no letter or digit becomes an underscore."""
    assert folded(name) == written


def test_a_name_with_two_underscores_is_told_from_its_key(guards: Guards, live: LiveConfig) -> None:
    """By the longest key there is."""
    command = guards.command("a__b")
    put_environment(live, {"BREAKWATER_GUARD__COMMAND__A__B__BREAKER__OPEN_S": "4"})
    assert command.config.breaker is not None
    assert command.config.breaker.open_s == 4.0


@pytest.mark.parametrize(
    ("variable", "value", "said"),
    [
        ("DEFAULT__TIMEOUT", "1", "the nearest: timeout_s"),
        ("COMMAND__RANK__BREAKER__OPENS", "1", "breaker.open_s"),
        ("COMMAND__RANK", "1", "there is no key 'BREAKWATER_GUARD__COMMAND__RANK'"),
        ("EVERYBODY__TIMEOUT_S", "1", "there is no key"),
        ("DEFAULT__TIMEOUT_S", "soon", "must be a number or none"),
    ],
)
def test_bad_variables_are_named_and_the_others_count(
    guards: Guards, live: LiveConfig, catalog: Command, variable: str, value: str, said: str
) -> None:
    """A typing error costs its own setting only."""
    put_environment(
        live,
        {f"BREAKWATER_GUARD__{variable}": value, "BREAKWATER_GUARD__DEFAULT__TOTAL_S": "20"},
    )
    assert catalog.config.total_s == 20.0
    (refusal,) = guards.stats().configuration.refusals
    assert said in refusal.reason
    assert refusal.source == "environment"


# The file

TOML = """
[default]
timeout_s = 0.5
retry = {}
[group."home page"]
retry.max_attempts = 2
[command."catalog-db.read".breaker]
open_s = 4
"""


def test_a_file_is_toml_by_tables(tmp_path: Path, live: LiveConfig, catalog: Command) -> None:
    """Nested tables, dotted keys and inline tables are all the same."""
    path = tmp_path / "guards.toml"
    path.write_text(TOML)
    SettingsFile(live, str(path)).look()
    assert catalog.config.timeout_s == 0.5
    assert catalog.config.breaker is not None
    assert catalog.config.breaker.open_s == 4.0
    assert catalog.config.retry is not None
    assert catalog.config.retry.max_attempts == 2


def test_a_part_is_put_in_and_set_by_a_quoted_key(
    tmp_path: Path, live: LiveConfig, catalog: Command
) -> None:
    """TOML does not let a table be both empty and filled."""
    path = tmp_path / "guards.toml"
    path.write_text('[default]\nretry = {}\n"retry.max_attempts" = 2\n')
    SettingsFile(live, str(path)).look()
    assert catalog.config.retry is not None
    assert catalog.config.retry.max_attempts == 2


def test_a_file_may_be_json(tmp_path: Path, live: LiveConfig, catalog: Command) -> None:
    """If its name says so."""
    path = tmp_path / "guards.json"
    path.write_text(json.dumps({"command": {"catalog-db.read": {"timeout_s": None}}}))
    SettingsFile(live, str(path)).look()
    assert catalog.config.timeout_s is None


def test_a_file_is_read_again_when_it_has_changed_and_lies_still(
    tmp_path: Path, live: LiveConfig, catalog: Command
) -> None:
    """A look in the midst of writing takes nothing in."""
    path = tmp_path / "guards.toml"
    path.write_text("[default]\ntimeout_s = 1\n")
    file = SettingsFile(live, str(path))
    file.look()
    path.write_text("[default]\n")  # half of it
    file.look()
    path.write_text("[default]\ntimeout_s = 2.5\n")
    file.look()
    assert catalog.config.timeout_s == 1.0
    file.look()
    assert catalog.config.timeout_s == 2.5
    assert live.stats()["file"].readings == 2


def test_a_file_replaced_by_one_of_the_same_size_and_time_is_seen(
    tmp_path: Path, live: LiveConfig, catalog: Command
) -> None:
    """By its inode."""
    path, other = tmp_path / "guards.toml", tmp_path / "other.toml"
    path.write_text("[default]\ntimeout_s = 1\n")
    other.write_text("[default]\ntimeout_s = 2\n")
    for one in (path, other):
        os.utime(one, ns=(1, 1))
    file = SettingsFile(live, str(path))
    file.look()
    other.replace(path)
    file.look()
    file.look()
    assert catalog.config.timeout_s == 2.0


@pytest.mark.parametrize(
    ("broken", "said"),
    [
        (b"[default]\ntimeout_s = ", "Invalid value"),
        (b"\xff\xfe", "utf-8"),
        (b"[everybody]\ntimeout_s = 1\n", "known: default, group, command"),
        (b"[command]\nrank = 3\n", "must be a table of keys"),
        (b"default = 3\n", "must be a table of keys"),
        (b"command = 3\n", "must be a table of names"),
    ],
)
def test_a_broken_file_changes_nothing(
    tmp_path: Path, guards: Guards, live: LiveConfig, catalog: Command, broken: bytes, said: str
) -> None:
    """The old values stay, once it is told why, and it is read again when it changes again."""
    path = tmp_path / "guards.toml"
    path.write_bytes(b"[default]\ntimeout_s = 1\n")
    file = SettingsFile(live, str(path))
    file.look()
    path.write_bytes(broken)
    for _ in range(4):
        file.look()
    assert catalog.config.timeout_s == 1.0
    (refusal,) = guards.stats().configuration.refusals
    assert refusal.where == str(path)
    assert said in refusal.reason
    assert live.stats()["file"].failures == 1
    path.write_bytes(b"[default]\ntimeout_s = 3.25\n")
    file.look()
    file.look()
    assert catalog.config.timeout_s == 3.25
    assert live.stats()["file"].last_failure == ""


def test_a_missing_file_is_told_once_and_waited_for(
    tmp_path: Path, guards: Guards, live: LiveConfig, catalog: Command
) -> None:
    """It may come later, and may go again: then its last words stay."""
    path = tmp_path / "guards.toml"
    file = SettingsFile(live, str(path))
    file.look()
    file.look()
    assert len(guards.stats().configuration.refusals) == 1
    path.write_text("[default]\ntimeout_s = 1\n")
    file.look()
    file.look()
    path.unlink()
    file.look()
    assert catalog.config.timeout_s == 1.0


def test_a_document_that_is_no_table_of_tables_is_refused() -> None:
    """With the sections there are."""
    with pytest.raises(SettingsError, match="known: default, group, command"):
        entries_of({"commands": {}})


# The platform


def push(live: LiveConfig, platform: Platform | None = None) -> PlatformSettings:
    """What follows a platform."""
    url = "http://127.0.0.1:1" if platform is None else platform.url
    settings = resolve_settings("home", {"instance": "home-1", "url": url}, {})
    assert settings.platform is not None
    return PlatformSettings(live, settings.platform, settings, random=Random(1))


def test_an_answer_of_the_platform_is_laid_over(live: LiveConfig, catalog: Command) -> None:
    """The record of the wire, with all three scopes."""
    answer = GuardConfig(
        revision=7,
        default={"timeout_s": 0.25},
        groups={"home page": {"retry": {}}},
        commands={"catalog-db.read": {"timeout_s": 0.5}},
    )
    assert push(live).accept(msgspec.json.encode(answer)) == 7
    assert catalog.config.timeout_s == 0.5
    assert catalog.config.retry is not None


def test_one_bad_value_of_the_platform_spoils_no_other(
    guards: Guards, live: LiveConfig, catalog: Command
) -> None:
    """A newer platform may know keys and values that we do not."""
    body = b'{"revision": 3, "default": {"timeout_s": [1], "total_s": 20, "newkey": {"a": 1}}}'
    assert push(live).accept(body) == 3
    assert catalog.config.total_s == 20.0
    assert len(guards.stats().configuration.refusals) == 2
    with pytest.raises(msgspec.DecodeError):
        push(live).accept(b'{"revision": "x"}')


def test_settings_of_the_platform_end_when_they_say(
    clock: FakeClock, live: LiveConfig, catalog: Command
) -> None:
    """Also when the platform is not asked again."""
    end = GuardExpiry(
        scope="command", name="catalog-db.read", key="timeout_s", expires_ms=clock.now_ms() + 1_000
    )
    answer = GuardConfig(
        revision=1, commands={"catalog-db.read": {"timeout_s": 0.5}}, expires=[end]
    )
    push(live).accept(msgspec.json.encode(answer))
    assert catalog.config.timeout_s == 0.5
    clock.advance(1.0)
    live.drop_expired()
    assert catalog.config.timeout_s == 9.0


# All together, in a service


def test_a_service_goes_by_environment_and_file_from_its_first_call(
    service_of: Callable[..., Service], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Before it is started; the environment goes over the file."""
    path = tmp_path / "guards.toml"
    path.write_text("[default]\ntimeout_s = 1\ntotal_s = 5\n")
    monkeypatch.setenv("BREAKWATER_GUARDS_FILE", str(path))
    monkeypatch.setenv("BREAKWATER_GUARD__COMMAND__RANK__TIMEOUT_S", "2")
    service = service_of("home")
    assert service.settings.guards_file == str(path)
    assert service.command("rank").config.timeout_s == 2.0
    assert service.command("art").config.timeout_s == 1.0
    assert service.stats().live.sources["file"].settings == 2


def test_a_service_follows_the_platform_and_keeps_its_last_words(
    service_of: Callable[..., Service], platform: Platform
) -> None:
    """A dead platform takes nothing back."""
    with service_of("home") as service:
        rank = service.command("rank")
        platform.set_guards(default={"timeout_s": 0.25})
        platform.wait_for(lambda: platform.count("GET", "guards/config") > 1)
        platform.set_guards(default={"timeout_s": 0.75})
        platform.wait_for(lambda: rank.config.timeout_s == 0.75)
        platform.stop()
        assert rank.config.timeout_s == 0.75
    assert rank.config.timeout_s == 0.75
    assert service.stats().live.sources["platform"].settings == 1


def test_a_variable_that_is_no_text_is_refused_like_any_other(
    guards: Guards, live: LiveConfig, catalog: Command
) -> None:
    """Bytes that are no UTF-8 cannot keep a service from starting."""
    prefix = "BREAKWATER_GUARD__DEFAULT__"
    put_environment(live, {f"{prefix}TIMEOUT_S": "\udcff", f"{prefix}\udcff": "1"})
    assert catalog.config.timeout_s == 9.0
    reasons = [refusal.reason for refusal in guards.audit.stats().refusals]
    assert len(reasons) == 2
    assert all(reason.encode() for reason in reasons)


@pytest.mark.parametrize("name", ["guards.json", "guards.toml"])
def test_a_file_nested_too_deep_is_a_file_that_cannot_be_read(
    live: LiveConfig, catalog: Command, tmp_path: Path, name: str
) -> None:
    """What it said before stays."""
    path = tmp_path / name
    path.write_text("[" * 100_000 if name.endswith("json") else "a = " + "[" * 3_000)
    SettingsFile(live, str(path)).look()
    assert live.stats()["file"].failures == 1
    assert catalog.config.timeout_s == 9.0


def test_a_pipe_in_the_place_of_the_file_holds_nobody_up(live: LiveConfig, tmp_path: Path) -> None:
    """Opening it would wait for somebody who writes."""
    os.mkfifo(tmp_path / "guards.toml")
    SettingsFile(live, str(tmp_path / "guards.toml")).look()
    assert "no plain file" in live.stats()["file"].last_failure
