"""Route templates of the frameworks, in one form."""

import pytest

from breakwater.sdk.endpoints import template_name
from breakwater.sdk.routes import braces


@pytest.mark.parametrize(
    ("template", "ours"),
    [
        ("/", "/"),
        ("/v1/titles/<id>", "/v1/titles/{id}"),
        ("/v1/titles/<int:id>/cast", "/v1/titles/{id}/cast"),
        ("/v1/<string(length=2):code>", "/v1/{code}"),
        ("/files/<path:name>", "/files/{name:path}"),
        ("v1/titles/<int:id>/", "/v1/titles/{id}/"),
        (r"^years/(?P<year>[0-9]{4})/$", "/years/{year}/"),
        (r"^a/(?P<b>(x|y)+)/(?P<c>\w+)\Z", "/a/{b}/{c}"),
    ],
)
def test_templates_have_braces(template: str, ours: str) -> None:
    """Of Flask and of Django, plain and as regular expressions."""
    assert braces(template) == ours


def test_names_come_from_templates() -> None:
    """With the parameters, not with what is in their place."""
    assert template_name(braces("/v1/titles/<int:id>/cast")) == "v1.titles.~id.cast"
