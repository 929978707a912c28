"""Encoded answers that are kept."""

from tests.registry.instances import instance

from breakwater.registry import Registry, RegistrySettings
from breakwater.registry.answers import Answers, Form
from breakwater.testing import FakeClock

FORM = Form(is_json=True)


def test_one_revision_is_encoded_once() -> None:
    """The same answer object is given until something changes; so is its gzip form."""
    registry = Registry(RegistrySettings(), FakeClock())
    for number in range(4):
        registry.register("A", instance(f"i-{number}", "A"))
    answers = Answers(registry)
    whole = answers.whole(FORM)
    assert answers.whole(FORM) is whole
    assert whole.packed() is whole.packed() is not None
    registry.renew("A", "i-0")
    assert answers.whole(FORM) is whole
    registry.cancel("A", "i-0")
    assert answers.whole(FORM) is not whole


def test_bytes_of_instances_that_left_are_dropped() -> None:
    """However many instances come and go, only so many fragments are kept."""
    registry = Registry(RegistrySettings(), FakeClock())
    answers = Answers(registry)
    for number in range(1_000):
        registry.register("A", instance(f"i-{number}", "A"))
        answers.application("A", FORM)
        registry.cancel("A", f"i-{number}")
    assert len(answers._fragments[FORM]) < 300
