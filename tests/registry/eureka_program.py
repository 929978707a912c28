"""A service that uses py-eureka-client as its users do: run by the tests as a process of its own.

Arguments: the servers' URLs, with commas between; the lease's duration in seconds. It obeys the
words on its input, one a line, and answers each with one line.
"""

import sys
from urllib.error import URLError

from py_eureka_client import eureka_client


def main() -> None:
    """Register, beat, and do as told until told to stop."""
    urls, duration_s = sys.argv[1].split(","), int(sys.argv[2])
    client = eureka_client.init(
        eureka_server=",".join(f"{url}/eureka/" for url in urls),
        app_name="my-app",
        instance_host="127.0.0.1",
        instance_ip="127.0.0.1",
        instance_port=9099,
        renewal_interval_in_secs=1,
        duration_in_secs=duration_s,
        metadata={"build_number": "7"},
    )
    loop = eureka_client.get_event_loop()
    say("ready")
    for line in sys.stdin:
        word, _, what = line.strip().partition(" ")
        answer = "done"
        if word == "find":
            answer = found(what)
        elif word == "status":
            loop.run_until_complete(client.status_update(what))
        elif word == "free":
            loop.run_until_complete(client.delete_status_override())
        else:
            eureka_client.stop()
        say(answer)


def found(app: str) -> str:
    """Where the client would send a request to an application."""
    try:
        return str(eureka_client.walk_nodes(app, "/x", walker=lambda url: url))
    except URLError:
        return "nobody"


def say(line: str) -> None:
    """Answer the test; the mark tells the line from what the client's own log prints."""
    print(f"> {line}", flush=True)  # noqa: T201 - how the test hears of it


main()
