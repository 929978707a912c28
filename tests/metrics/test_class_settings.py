"""Which retention classes there may be, and what is said of others."""

import msgspec
import pytest

from breakwater.metrics import InvalidClassError, MetricsEngine, MetricsSettings, RetentionClass
from breakwater.metrics.classes.policy import checked, dropped_keys
from breakwater.metrics.settings import DEFAULT_CLASSES
from breakwater.testing import FakeClock

MINUTES = RetentionClass(name="minutes", step_ms=60_000, retention_s=86_400)
HOURS = RetentionClass(name="hours", step_ms=3_600_000, retention_s=864_000, drop_tags=["nf.zone"])


def test_minutes_without_the_node_are_kept_for_a_day_unless_said_otherwise() -> None:
    """The default is there where it is coarser and longer than full resolution, and only there."""
    assert checked(DEFAULT_CLASSES, step_ms=1000, retention_s=3600) == DEFAULT_CLASSES
    assert checked(DEFAULT_CLASSES, step_ms=60_000, retention_s=3600) == []
    assert checked(DEFAULT_CLASSES, step_ms=1000, retention_s=86_400) == []
    engine = MetricsEngine(MetricsSettings(), FakeClock())
    assert list(engine.stats().classes) == ["minutes"]
    assert MetricsEngine(MetricsSettings(classes=[]), FakeClock()).stats().classes == {}


def test_classes_may_follow_each_other() -> None:
    """Each is a multiple of the one before, and is kept longer."""
    assert checked([MINUTES, HOURS], step_ms=5000, retention_s=3600) == [MINUTES, HOURS]
    assert dropped_keys([MINUTES, HOURS]) == {"atlas.aggr", "nf.zone"}


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"name": "full"}, "name is 'full'; allowed: up to 32 of a-z, 0-9 and -, each name once"),
        ({"name": "../x"}, "name is '../x'; allowed"),
        ({"name": "minutes"}, "name is 'minutes'; allowed"),
        ({"step_ms": 90_000}, "step of 90000 ms is not allowed; allowed: 1, 2, 3"),
        ({"step_ms": 10_000}, "10000 ms is not a multiple of the stored step of 60000 ms"),
        ({"step_ms": 60_000}, "step_ms is 60000; allowed: more than the 60000 of class minutes"),
        ({"retention_s": 3600}, "retention_s is 3600; allowed: 86400 or more: as long as class"),
        ({"drop_tags": ["name"]}, "drop_tags holds 'name'; allowed: any key but atlas.dstype"),
    ],
)
def test_what_does_not_fit_is_refused_with_what_would(
    changes: dict[str, object], message: str
) -> None:
    """The message names the class, the setting, and what is allowed."""
    wrong = msgspec.structs.replace(HOURS, **changes)
    with pytest.raises(InvalidClassError) as refused:
        checked([MINUTES, wrong], step_ms=1000, retention_s=3600)
    assert message in str(refused.value)
    assert str(refused.value).startswith(f"retention class {wrong.name!r}: ")


def test_a_condition_that_cannot_be_read_is_refused() -> None:
    """At the start, before any folder is made; the message names the class and what is wrong."""
    wrong = msgspec.structs.replace(MINUTES, where="name,:nonsense")
    with pytest.raises(InvalidClassError) as refused:
        MetricsEngine(MetricsSettings(classes=[wrong]), FakeClock())
    message = "retention class 'minutes': where: unknown word ':nonsense'"
    assert str(refused.value).startswith(message)


def test_there_are_not_too_many() -> None:
    """Every class costs memory and a folder."""
    many = [msgspec.structs.replace(MINUTES, name=f"c{i}") for i in range(9)]
    with pytest.raises(InvalidClassError, match="9 retention classes; at most 8"):
        checked(many, step_ms=1000, retention_s=3600)
