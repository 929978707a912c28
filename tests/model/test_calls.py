import pytest

from breakwater.model import Status, status_of_http


@pytest.mark.parametrize(
    ("code", "status"),
    [
        (200, Status.SUCCESS),
        (304, Status.SUCCESS),
        (404, Status.BAD_REQUEST),
        (401, Status.ACCESS_DENIED),
        (429, Status.THROTTLED),
        (500, Status.UNEXPECTED_ERROR),
        (503, Status.UNAVAILABLE),
        (504, Status.TIMEOUT),
        (599, Status.UNEXPECTED_ERROR),
    ],
)
def test_response_codes_have_one_status_each(code: int, status: Status) -> None:
    """Every HTTP response code stands for exactly one way a call can end."""
    assert status_of_http(code) is status
