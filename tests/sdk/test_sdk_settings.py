"""Who the process is: arguments, environment, defaults."""

import os
import subprocess
import sys

import pytest

from breakwater.sdk import SettingsError
from breakwater.sdk.settings import Address, resolve_settings


def test_an_argument_wins_over_the_environment() -> None:
    """What the program says counts more than what the supervisor says."""
    made = resolve_settings("cdn", {"zone": "b", "port": 9}, {"BREAKWATER_ZONE": "a"})
    assert (made.zone, made.port) == ("b", 9)


def test_the_environment_is_enough() -> None:
    """A supervisor can say everything by variables."""
    env = {
        "BREAKWATER_SERVICE": "ranker",
        "BREAKWATER_INSTANCE": "ranker-a-1",
        "BREAKWATER_ZONE": "a",
        "BREAKWATER_HOST": "127.0.0.2",
        "BREAKWATER_PORT": "8101",
        "BREAKWATER_URL": "http://127.0.0.1:7102",
        "BREAKWATER_METRICS": "udp://[::1]:1235",
    }
    made = resolve_settings(None, {}, env)
    assert (made.service, made.instance, made.zone) == ("ranker", "ranker-a-1", "a")
    assert (made.host, made.port) == ("127.0.0.2", 8101)
    assert made.platform == Address(host="127.0.0.1", port=7102)
    assert made.metrics == Address(host="::1", port=1235)


def test_an_instance_without_a_name_gets_one_that_is_its_own() -> None:
    """Two processes of one service on one machine must not share an instance id."""
    made = resolve_settings("cdn", {}, {})
    assert made.instance.startswith("cdn-")
    assert made.instance.endswith(f"-{os.getpid()}")


def test_none_switches_platform_and_meters_off() -> None:
    """A program under test needs neither."""
    made = resolve_settings("cdn", {"url": "none", "metrics": "none"}, {})
    assert made.platform is None
    assert made.metrics is None


@pytest.mark.parametrize(
    ("name", "given", "says"),
    [
        ("", {}, "BREAKWATER_SERVICE"),
        ("a b", {}, "BREAKWATER_SERVICE"),
        ("x", {"port": "70000"}, "BREAKWATER_PORT"),
        ("x", {"port": "http"}, "BREAKWATER_PORT"),
        ("x", {"token": "two words"}, "BREAKWATER_TOKEN"),
        ("x", {"url": "ftp://h:1"}, "BREAKWATER_URL"),
        ("x", {"url": "http://h"}, "BREAKWATER_URL"),
        ("x", {"metrics": "udp://h:99999"}, "BREAKWATER_METRICS"),
    ],
)
def test_what_cannot_be_used_is_refused_by_name(
    name: str, given: dict[str, str], says: str
) -> None:
    """The message names the variable at fault."""
    with pytest.raises(SettingsError, match=says):
        resolve_settings(name, given, {})


@pytest.mark.slow
def test_importing_the_sdk_is_light() -> None:
    """Neither an event loop, nor an HTTP library, nor TLS is imported before it is asked for."""
    heavy = "{'asyncio', 'ssl', 'http.client', 'aiohttp', 'logging'}"
    code = f"import sys, breakwater.sdk as s; s.Service; print({heavy} & set(sys.modules))"
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert ran.stdout.strip() == "set()"
