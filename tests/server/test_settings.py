"""Settings: sources and their order, what is refused and in which words, and writing them down."""

from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from breakwater.server import InvalidSettingError, SettingsFileError, UnknownSettingError
from breakwater.server.auth import RANKS
from breakwater.server.settings import Settings, Token, is_loopback
from breakwater.server.settings_text import dump, literal, show
from breakwater.server.sources import load, setting_types

DIGEST = "0" * 64


@pytest.fixture(autouse=True)
def empty_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Every test runs in a folder without a settings file."""
    monkeypatch.chdir(tmp_path)
    return tmp_path


def loaded(**sources: Any) -> Settings:
    """The settings in force, blind to this machine's environment unless told otherwise."""
    return load(**{"environment": {}, **sources}).settings


def test_defaults_are_those_of_the_contract() -> None:
    """Without any source: loopback, the known ports, and chaos on its leash."""
    settings = loaded()
    assert (settings.server.host, settings.server.port) == ("127.0.0.1", 7101)
    assert (settings.ingest.host, settings.ingest.port) == ("127.0.0.1", 1234)
    assert settings.chaos.leashed
    assert not settings.tokens


def test_each_source_overrules_the_one_before(empty_folder: Path) -> None:
    """Default, then file, then environment, then flags, then --set; setting by setting."""
    (empty_folder / "breakwater.toml").write_text(
        "[server]\nport = 1\nmax_requests = 11\n[metrics]\nstep_ms = 2000\nmax_lines = 7\n"
    )
    environment = {"BREAKWATER_SERVER__PORT": "2", "BREAKWATER_METRICS__STEP_MS": "5000"}
    effective = load(
        environment=environment, flags={"server.port": 3}, assignments=["server.host=127.0.0.2"]
    )
    settings = effective.settings
    assert settings.server.port == 3
    assert settings.server.max_requests == 11
    assert settings.server.host == "127.0.0.2"
    assert settings.metrics.step_ms == 5000
    assert settings.metrics.max_lines == 7
    assert effective.origins["server.port"] == "flag"
    assert effective.origins["server.max_requests"] == "file breakwater.toml"
    assert effective.origins["metrics.step_ms"] == "environment BREAKWATER_METRICS__STEP_MS"
    assert effective.origins["server.host"] == "--set server.host"
    assert effective.origins["registry.max_instances"] == "default"


def test_named_file_takes_the_place_of_the_usual_one(tmp_path: Path) -> None:
    """With --config the file of the working directory is not read."""
    (tmp_path / "breakwater.toml").write_text("[server]\nport = 1\n")
    other = tmp_path / "other.toml"
    other.write_text("data_dir = 'x'\n")
    settings = loaded(file=other)
    assert settings.server.port == 7101
    assert settings.data_dir == "x"


@pytest.mark.parametrize(
    ("text", "name", "value"),
    [
        ("server.port=8000", "server.port", 8000),
        ("server.stop_s=1", "server.stop_s", 1.0),
        ("chaos.leashed=false", "chaos.leashed", False),
        ("data_dir=123", "data_dir", "123"),
        ("data_dir = a=b ", "data_dir", "a=b"),
        ("incidents.thresholds.min_drop=0.5", "incidents.thresholds.min_drop", 0.5),
        ("udp.port=9", "ingest.port", 9),
    ],
)
def test_assignments_are_read_by_the_type_of_the_setting(
    text: str, name: str, value: object
) -> None:
    """Text settings take the text as it stands; others are read as TOML; aliases work."""
    found: Any = loaded(assignments=[text])
    for part in name.split("."):
        found = getattr(found, part)
    assert found == value
    assert type(found) is type(value)


def test_tokens_from_every_source(tmp_path: Path) -> None:
    """Tokens can be tables of the file or a list in the environment."""
    expected = [Token(name="ci", role="chaos", sha256=DIGEST)]
    file = tmp_path / "t.toml"
    file.write_text(f'[[tokens]]\nname = "ci"\nrole = "chaos"\nsha256 = "{DIGEST}"\n')
    assert loaded(file=file).tokens == expected
    inline = f'[{{name = "ci", role = "chaos", sha256 = "{DIGEST}"}}]'
    assert loaded(environment={"BREAKWATER_TOKENS": inline}).tokens == expected


def test_foreign_variables_of_our_prefix_are_left_alone() -> None:
    """What the SDK and Kubernetes put under BREAKWATER_ is not taken for a setting."""
    foreign = {
        "BREAKWATER_URL": "http://127.0.0.1:7101",
        "BREAKWATER_SERVICE": "ranker",
        "BREAKWATER_PORT": "tcp://10.0.0.1:7101",
        "BREAKWATER_SERVICE_HOST": "10.0.0.1",
        "OTHER__THING": "1",
    }
    assert loaded(environment=foreign) == Settings()


@pytest.mark.parametrize(
    ("sources", "words"),
    [
        ({"assignments": ["server.prot=1"]}, ["server.prot", "did you mean server.port?"]),
        ({"assignments": ["sever.port=1"]}, ["sever.port", "did you mean server.port?"]),
        ({"assignments": ["zzz=1"]}, ["zzz", "Valid:", "server.port", "data_dir"]),
        ({"assignments": ["metrics=1"]}, ["there is no setting metrics", "metrics.step_ms"]),
        (
            {"environment": {"BREAKWATER_METRICS__STEPMS": "1"}},
            ["environment BREAKWATER_METRICS__STEPMS", "did you mean metrics.step_ms?"],
        ),
        ({"flags": {"server.nope": 1}}, ["server.nope", "a flag"]),
    ],
)
def test_unknown_names_are_refused(sources: dict[str, Any], words: list[str]) -> None:
    """A name that does not exist is told with its source, the nearest name and the valid ones."""
    with pytest.raises(UnknownSettingError) as caught:
        loaded(**sources)
    for word in words:
        assert word in str(caught.value)


@pytest.mark.parametrize(
    "text", ["prot = 1", "[server]\nprot = 1", "[sever]\nport = 1", "[server.deep]\nx = 1", "[x]\n"]
)
def test_unknown_names_in_a_file_are_refused(tmp_path: Path, text: str) -> None:
    """The file is held to the same names as every other source."""
    file = tmp_path / "s.toml"
    file.write_text(text)
    with pytest.raises(UnknownSettingError, match=r"file .*s\.toml"):
        loaded(file=file)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("server.port=abc", "a whole number"),
        ("server.port=70000", "allowed: 0 to 65535"),
        ("server.port=-1", "allowed: 0 to 65535"),
        ("server.port=1.5", "a whole number"),
        ("server.port=true", "a whole number"),
        ("server.port=1\nx=2", "a whole number"),
        ("server.stop_s=inf", "allowed: 0 to 30"),
        ("metrics.step_ms=1001", "whole part of a minute"),
        ("metrics.step_ms=500", "1000 to 60000"),
        ("metrics.max_lines=0", "from 1"),
        ("metrics.retention_s=-5", "from 0"),
        ("registry.delta_retention_s=nan", "from 0"),
        ("chaos.leashed=1", "true or false"),
        ("chaos.max_share=1.5", "0 to 1"),
        ("log_level=loud", "expected one of debug, info, warning, error"),
        ("metrics.block_slots=-1", "allowed: 0 to 3600"),
        ("metrics.max_series=1000000000000", "allowed: 1 to 100000000"),
        ("registry.evict_interval_s=0", "allowed: 0.01 to 3600"),
        ("server.max_body_bytes=1", "allowed: 1024 to 1073741824"),
        ("tokens=[1]", "a table"),
        ('tokens=[{name="a",role="root",sha256="%s"}]' % DIGEST, "root"),  # noqa: UP031 - braces
        ('tokens=[{name="a",role="viewer",sha256="secret"}]', "regex"),
        ("server.port", "section.name=value"),
    ],
)
def test_invalid_values_are_refused(text: str, words: str) -> None:
    """A value that does not fit is told with its name, its source and what is allowed."""
    with pytest.raises(InvalidSettingError) as caught:
        loaded(assignments=[text])
    assert words in str(caught.value)
    assert text.partition("=")[0] in str(caught.value)


def test_a_setting_where_a_section_is_meant(tmp_path: Path) -> None:
    """`server = 1` is refused, not silently dropped."""
    file = tmp_path / "s.toml"
    file.write_text("server = 1\n")
    with pytest.raises(UnknownSettingError):
        loaded(file=file)


def test_files_that_cannot_be_read(tmp_path: Path) -> None:
    """A missing, broken or binary file is told by its path."""
    with pytest.raises(SettingsFileError, match=r"none\.toml"):
        loaded(file=tmp_path / "none.toml")
    for content in (b"[server", b"\xff\xfe"):
        broken = tmp_path / "broken.toml"
        broken.write_bytes(content)
        with pytest.raises(SettingsFileError, match="is not TOML"):
            loaded(file=broken)
    with pytest.raises(SettingsFileError):
        loaded(file=tmp_path)


def test_show_names_the_source_of_every_value(tmp_path: Path) -> None:
    """What --show-settings prints is itself a valid file, with a source on every line."""
    effective = load(environment={}, assignments=["server.port=8000"])
    text = show(effective)
    assert "port = 8000  # --set server.port" in text
    assert "max_requests = 512  # default" in text
    file = tmp_path / "shown.toml"
    file.write_text(text)
    assert loaded(file=file) == effective.settings
    assert all("  # " in line for line in text.splitlines() if " = " in line)


def test_every_number_has_a_bound() -> None:
    """No numeric setting accepts a negative value."""
    for name, kind in setting_types().items():
        if kind in (int, float):
            with pytest.raises(InvalidSettingError):
                loaded(assignments=[f"{name}=-1"])


NAMES = st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=80)


@given(st.data())
def test_dump_and_load_round_trip(
    tmp_path_factory: pytest.TempPathFactory, data: st.DataObject
) -> None:
    """Whatever the settings are, writing and reading them gives equal settings."""
    settings = Settings(
        data_dir=data.draw(NAMES),
        log_level=data.draw(st.sampled_from(["debug", "info", "warning", "error"])),
        tokens=[
            Token(name=data.draw(NAMES), role="viewer", sha256=DIGEST)
            for _ in range(data.draw(st.integers(0, 3)))
        ],
        server=msgspec.structs.replace(
            Settings().server,
            host=data.draw(NAMES),
            port=data.draw(st.integers(0, 65_535)),
            stop_s=data.draw(st.floats(0, 30)),
        ),
        chaos=msgspec.structs.replace(Settings().chaos, leashed=data.draw(st.booleans())),
    )
    file = tmp_path_factory.mktemp("round") / "s.toml"
    file.write_text(dump(settings), newline="")
    assert loaded(file=file) == settings


@pytest.mark.parametrize(
    ("value", "written"),
    [
        (1e22, "1e+22"),
        (1.0, "1.0"),
        (float("inf"), "inf"),
        (float("-inf"), "-inf"),
        (float("nan"), "nan"),
        ({"a": [1, "x"]}, '{"a" = [1, "x"]}'),
        ("\x7f\n", '"\\u007F\\u000A"'),
    ],
)
def test_literals(value: object, written: str) -> None:
    """Values are written as TOML writes them."""
    assert literal(value) == written


@pytest.mark.parametrize(
    ("host", "local"),
    [
        ("127.0.0.1", True),
        ("127.8.8.8", True),
        ("::1", True),
        ("[::1]", True),
        ("localhost", True),
        ("0.0.0.0", False),
        ("::", False),
        ("10.1.2.3", False),
        ("example.org", False),
        ("", False),
        ("localhost.example.org", False),
    ],
)
def test_loopback(host: str, local: bool) -> None:  # noqa: FBT001 - a parameter of the table
    """Only addresses that never leave the machine count as local; names but localhost do not."""
    assert is_loopback(host) is local


def test_every_setting_is_documented() -> None:
    """docs/formats/settings.md lists every setting, and none that does not exist."""
    document = Path(__file__).parents[2] / "docs" / "formats" / "settings.md"
    documented = {
        line.split("`")[1] for line in document.read_text().splitlines() if line.startswith("| `")
    } - set(RANKS)
    existing = {name for name in setting_types() if not name.startswith("incidents.thresholds.")}
    assert documented == existing
