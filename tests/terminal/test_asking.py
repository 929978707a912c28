"""One request to a platform, on a real socket."""

import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from breakwater.terminal import NoAnswerError, RefusedError, ask, moment, print_table


@contextmanager
def answering(status: int, body: bytes, kind: str) -> Iterator[tuple[str, list[dict[str, str]]]]:
    """A server that gives one answer to everything; its address and what it was sent."""
    heard: list[dict[str, str]] = []

    class Handler(BaseHTTPRequestHandler):
        def handle_any(self) -> None:
            length = int(self.headers.get("content-length", "0"))
            told = self.rfile.read(length).decode()
            headers = {name.lower(): value for name, value in self.headers.items()}
            heard.append({**headers, "line": f"{self.command} {self.path}", "told": told})
            self.send_response(status)
            self.send_header("content-type", kind)
            self.send_header("content-length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        do_GET = do_POST = do_DELETE = handle_any  # noqa: N815 - its names

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - its name
            """Tests need no access log."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.02,))
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_address[1]}", heard
        finally:
            server.shutdown()
            thread.join()


def test_the_body_comes_back_as_it_is(monkeypatch: pytest.MonkeyPatch) -> None:
    """Method, JSON body and token are sent; a proxy of the environment is passed by."""
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:1")
    with answering(200, b'{"a": 1}', "application/json") as (url, heard):
        assert ask(f"{url}/", "/x?y=1", token="t", method="POST", told={"b": 2}) == b'{"a": 1}'
        assert ask(url, "/z") == b'{"a": 1}'
    assert (heard[0]["line"], heard[0]["told"]) == ("POST /x?y=1", '{"b":2}')
    assert heard[0]["authorization"] == "Bearer t"
    assert heard[1]["line"] == "GET /z"
    assert "authorization" not in heard[1]


@pytest.mark.parametrize(
    ("status", "body", "kind", "error", "says"),
    [
        (404, b'{"type": "error", "message": "no x"}', "application/json", RefusedError, "no x"),
        (404, b"no application X", "text/plain", RefusedError, "no application X"),
        (503, b'{"message": "busy"}', "application/json", NoAnswerError, "busy"),
        (502, b"<html>", "text/html", NoAnswerError, "the platform answered 502 Bad Gateway"),
        (400, b"[1]", "application/json", RefusedError, "[1]"),
    ],
)
def test_a_refusal_carries_the_platforms_words(
    status: int, body: bytes, kind: str, error: type[Exception], says: str
) -> None:
    """What is to be mended is refused, what may work later gave no answer."""
    with answering(status, body, kind) as (url, _), pytest.raises(error) as told:
        ask(url, "/x")
    assert str(told.value) == says


def test_nobody_there_is_said_with_the_way_out() -> None:
    """The message names the address, how to start a platform and how to name another."""
    with socket.create_server(("127.0.0.1", 0)) as nobody:
        url = f"http://127.0.0.1:{nobody.getsockname()[1]}"
    with pytest.raises(NoAnswerError, match=r"breakwater serve.*BREAKWATER_URL") as told:
        ask(url, "/x")
    assert url in str(told.value)


def test_other_schemes_are_refused() -> None:
    """A file or an FTP server is no platform."""
    with pytest.raises(RefusedError, match="must begin with http"):
        ask("file:///etc", "/passwd")


def test_a_table_shows_markup_as_it_is(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Texts come from users: brackets in them are brackets."""
    monkeypatch.setenv("COLUMNS", "80")
    print_table(("a", "b"), [("1", "[red]x[/red]")])
    assert "[red]x[/red]" in capsys.readouterr().out


def test_a_moment_is_utc_and_nothing_is_a_dash() -> None:
    """Times of a fleet are told in one zone."""
    assert moment(1_700_000_000_000) == "2023-11-14 22:13:20 UTC"
    assert (moment(None), moment(0)) == ("-", "-")
