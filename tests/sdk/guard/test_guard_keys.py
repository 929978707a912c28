"""Every setting has a name, a type and a range, and says what is allowed."""

from typing import Any

import msgspec
import pytest

from breakwater.sdk import CommandConfig, SettingsError, checked_setting, setting_of_text
from breakwater.sdk.guard import BreakerConfig, RetryConfig, SheddingConfig, hystrix
from breakwater.sdk.guard.tuning.keys import (
    Value,
    differences,
    find_key,
    flattened,
    laid,
    setting_keys,
)
from breakwater.sdk.guard.tuning.layers import MAX_HINTS, MAX_SETTINGS, Place, read_layer


def leaves(record: Any, prefix: str = "") -> dict[str, Any]:
    """Values of a record by path."""
    found: dict[str, Any] = {}
    for name, value in msgspec.structs.asdict(record).items():
        if isinstance(value, msgspec.Struct):
            found.update(leaves(value, f"{prefix}{name}."))
        else:
            found[prefix + name] = value
    return found


def everything() -> CommandConfig:
    """A command with every part in."""
    tops = [key for key in setting_keys().values() if "." not in key.path]
    parts: dict[str, Value] = {key.path: {} for key in tops if key.part is not None}
    return laid(CommandConfig(), parts)


def test_every_field_of_a_configuration_has_a_key() -> None:
    """And setting it to its own value changes nothing."""
    config = everything()
    values = leaves(config)
    assert set(values) < set(setting_keys())
    assert laid(config, {key: checked_setting(key, value) for key, value in values.items()}) == (
        config
    )


@pytest.mark.parametrize(
    ("key", "given", "taken"),
    [
        ("timeout_s", 2, 2.0),
        ("timeout_s", "none", None),
        ("breaker", None, None),
        ("retry", {}, {}),
        ("retry.jitter", "none", "none"),
        ("bulkhead.partitions", {"live": 0.5}, {"live": 0.5}),
        ("profile", "hystrix", "hystrix"),
        ("adaptive.minimum", 5, 5),
    ],
)
def test_a_value_is_taken_as_its_key_wants_it(key: str, given: object, taken: object) -> None:
    """None is written as `none` where there is no other word for it."""
    assert checked_setting(key, given) == taken


@pytest.mark.parametrize(
    ("key", "given", "said"),
    [
        ("breaker.opens", 1, "the nearest: breaker.open_s"),
        ("wholly_unknown", 1, "known: profile, enabled, timeout_s"),
        ("timeout_s", "soon", "must be a number or none"),
        ("timeout_s", 0, "must be above 0"),
        ("timeout_s", True, "must be a number or none"),
        ("breaker.minimum_calls", 2.5, "must be a whole number"),
        ("breaker.failure_percent", 150, "above 0 and at most 100"),
        ("breaker.mode", "odd", "enabled or disabled or forced_open"),
        ("fallback", None, "fallback is none, must be {}"),
        ("retry", 3, "must be {} or none"),
        ("bulkhead.partitions", {"live": 1.5}, "at most 1"),
        ("profile", "netflix", "breakwater or hystrix or resilience4j"),
        ("retry.max_attempts", float("nan"), "must be a whole number"),
    ],
)
def test_a_bad_setting_is_refused_with_what_is_allowed(key: str, given: object, said: str) -> None:
    """The message names key, value and range."""
    with pytest.raises(SettingsError, match=said.replace("{", "\\{")) as refused:
        checked_setting(key, given)
    assert key in str(refused.value)


@pytest.mark.parametrize(
    ("key", "text", "taken"),
    [
        ("timeout_s", "0.5", 0.5),
        ("timeout_s", "none", None),
        ("enabled", "false", False),
        ("breaker.minimum_calls", "7", 7),
        ("retry", "{}", {}),
        ("retry", "none", None),
        ("retry.jitter", "none", "none"),
        ("bulkhead.partitions", '{"live": 0.25}', {"live": 0.25}),
    ],
)
def test_text_is_read_by_the_type_of_its_key(key: str, text: str, taken: object) -> None:
    """The environment knows nothing but text."""
    assert setting_of_text(key, text) == taken


@pytest.mark.parametrize("text", ["seven", "", "{", "{]"])
def test_text_that_is_no_value_is_refused(text: str) -> None:
    """Whatever it is."""
    with pytest.raises(SettingsError, match=r"breaker\.minimum_calls is"):
        setting_of_text("breaker.minimum_calls", text)


def test_a_part_is_put_in_with_what_the_code_says_else_with_its_defaults() -> None:
    """And keys of a part that is out wait for it."""
    bare = CommandConfig(breaker=BreakerConfig(open_s=9.0))
    assert laid(bare, {"breaker": {}}) == bare
    assert laid(bare, {"retry.max_attempts": 5}) == bare
    assert laid(bare, {"retry.max_attempts": 5, "retry": {}}).retry == RetryConfig(max_attempts=5)
    assert laid(bare, {"breaker": None, "breaker.open_s": 3.0}).breaker is None
    nested = laid(bare, {"retry": {}, "retry.budget.ratio": 0.2}).retry
    assert nested is not None
    assert nested.budget.ratio == 0.2


def test_a_profile_takes_the_place_of_what_the_code_says() -> None:
    """Other keys go over the profile."""
    code = CommandConfig(timeout_s=9.0)
    assert laid(code, {"profile": "hystrix"}) == hystrix()
    assert laid(code, {"profile": "hystrix", "timeout_s": 2.0}).timeout_s == 2.0


def test_a_part_put_into_a_profile_begins_with_the_numbers_of_that_library() -> None:
    """What is a decorator of its own there is out until it is put in; other keys go over it."""
    code = CommandConfig(retry=RetryConfig(max_attempts=9))
    assert laid(code, {"profile": "resilience4j"}).retry is None
    retry = laid(code, {"profile": "resilience4j", "retry": {}, "retry.max_attempts": 5}).retry
    assert retry is not None
    assert (retry.max_attempts, retry.initial_s, retry.factor, retry.jitter) == (
        5, 0.5, 1.0, "none",
    )  # fmt: skip
    assert retry.budget.mode == "none"
    rate = laid(code, {"profile": "resilience4j", "rate": {}}).rate
    assert rate is not None
    assert (rate.calls, rate.per_s, rate.max_wait_s, rate.schedule) == (50, 5e-7, 5.0, "cycle")
    assert laid(code, {"profile": "hystrix", "retry": {}}).retry == RetryConfig()


def test_the_profile_of_hystrix_collapses_as_its_collapser() -> None:
    """Ten milliseconds, within a request, as many as come."""
    collapse = hystrix().collapse
    assert collapse is not None
    assert (collapse.wait_s, collapse.scope, collapse.caches_requests) == (0.01, "request", True)
    assert collapse.max_batch == 1_000_000_000


@pytest.mark.parametrize(
    ("key", "given", "taken"),
    [
        ("shedding.enabled", True, True),
        ("shedding.limit", "none", None),
        ("shedding.sheddable", 0.95, 0.95),
        ("shedding.critical_plus", 0.5, 0.5),
        ("shedding.target_s", 5, 5.0),
        ("shedding.interval_s", 0.001, 0.001),
        ("shedding.adaptive.algorithm", "vegas", "vegas"),
        ("shedding", {}, {}),
    ],
)
def test_servers_have_keys_too(key: str, given: object, taken: object) -> None:
    """One is not refused for where the others stand by default, which may be set beside it."""
    assert checked_setting(key, given) == taken


@pytest.mark.parametrize(
    ("key", "given", "said"),
    [
        ("shedding.limit", 0, "shedding.limit: limit is 0, must be at least 1"),
        ("shedding.sheddable", 0, "must be above 0"),
        ("shedding.interval_s", -1, "must be above 0"),
        ("shedding.queue", -1, "queue is -1"),
        ("shedding.queues", 1, "the nearest: shedding.queue"),
        ("shedding", None, "must be {}"),
    ],
)
def test_a_bad_setting_of_servers_is_refused(key: str, given: object, said: str) -> None:
    """As those of commands are."""
    with pytest.raises(SettingsError, match=said.replace("{", "\\{")):
        checked_setting(key, given)


def test_commands_and_servers_pass_over_the_keys_of_each_other() -> None:
    """One source may speak of both."""
    both: dict[str, Value] = {"timeout_s": 2.0, "shedding.limit": 7, "profile": "hystrix"}
    assert laid(SheddingConfig(), both) == SheddingConfig(limit=7)
    assert laid(CommandConfig(), both) == laid(
        CommandConfig(), {"timeout_s": 2.0, "profile": "hystrix"}
    )


def test_an_unknown_key_that_is_like_none_is_not_compared_at_length() -> None:
    """What is longer than any key has no nearest one."""
    assert "the nearest: breaker.open_s" in refusal("breaker.opens_s")
    assert "the nearest" not in refusal("breaker.open_s" * 500)


def refusal(key: str) -> str:
    """What is said of a key that there is not."""
    with pytest.raises(SettingsError) as refused:
        find_key(key)
    return str(refused.value)


def test_nested_tables_and_dotted_keys_are_the_same() -> None:
    """`[retry] max_attempts` is `retry.max_attempts`; a dictionary value stays whole."""
    tree = {
        "timeout_s": 1,
        "retry": {"max_attempts": 2, "budget": {"ratio": 0.2}},
        "breaker": {},
        "bulkhead": {"partitions": {"live": 0.5}},
        "unknown": {"deep": 1},
    }
    assert dict(flattened(tree)) == {
        "timeout_s": 1,
        "retry.max_attempts": 2,
        "retry.budget.ratio": 0.2,
        "breaker": {},
        "bulkhead.partitions": {"live": 0.5},
        "unknown": {"deep": 1},
    }


def test_differences_name_each_key_and_whole_parts() -> None:
    """A part that goes in or out is one difference."""
    before = CommandConfig(breaker=BreakerConfig(open_s=1.0))
    after = laid(before, {"breaker.open_s": 3.0, "retry": {}, "timeout_s": 1.0})
    found = {key: (old, new) for key, old, new in differences(before, after)}
    assert set(found) == {"breaker.open_s", "retry", "timeout_s"}
    assert found["breaker.open_s"] == (1.0, 3.0)
    assert found["retry"][0] is None
    assert found["retry"][1]["max_attempts"] == 3


@pytest.mark.parametrize(
    "key",
    [
        "bulkhead.max_concurrent", "bulkhead.threads", "bulkhead.queue", "fallback.max_concurrent",
        "breaker.window_calls", "breaker.buckets", "statistics.buckets",
        "statistics.latency_buckets", "breaker.half_open_permits", "breaker.minimum_calls",
    ],
)  # fmt: skip
def test_no_number_may_ask_for_more_memory_than_there_is(key: str) -> None:
    """A slip of the finger must not end every process of a service."""
    with pytest.raises(SettingsError, match="at most"):
        checked_setting(key, 2_000_000_000)


@pytest.mark.parametrize(
    "key", ["timeout_s", "total_s", "bulkhead.max_wait_s", "retry.initial_s", "breaker.open_s"]
)
@pytest.mark.parametrize("value", [1e300, float("inf")])
def test_no_time_is_longer_than_a_timer_can_wait(key: str, value: float) -> None:
    """Thirty years are enough, and none means no limit."""
    with pytest.raises(SettingsError, match="at most"):
        checked_setting(key, value)


def test_what_is_refused_is_named_in_short() -> None:
    """A megabyte from outside is not repeated in every log."""
    for key, value in (("timeout_s", "x" * 1_000_000), ("y" * 1_000_000, 1)):
        with pytest.raises(SettingsError) as refused:
            checked_setting(key, value)
        assert len(str(refused.value)) < 1_000


def test_a_source_full_of_unknown_keys_gets_hints_for_the_first_only() -> None:
    """Each is refused and named; to look for what was meant would take too long for all."""
    places = [Place("default", "", f"breaker.opens_{n}") for n in range(MAX_SETTINGS)]
    _, refused = read_layer("platform", dict.fromkeys(places, 1.0), None)
    assert len(refused) == MAX_SETTINGS
    hinted = ["the nearest" in one.reason for one in refused]
    assert hinted == [True] * MAX_HINTS + [False] * (MAX_SETTINGS - MAX_HINTS)
    assert refused[-1].reason == "there is no key 'breaker.opens_4999'"
