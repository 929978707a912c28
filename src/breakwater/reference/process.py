"""One process of the fleet: from its environment to a listening server, and quickly down again."""

import gc
import logging
import os
import sys

import uvicorn

from breakwater.model import InvalidInputError
from breakwater.reference.application import SERVICES, World, build
from breakwater.reference.errors import UnknownServiceError
from breakwater.sdk import Service

SEED = "BREAKWATER_REFERENCE_SEED"
SECRET = "BREAKWATER_REFERENCE_SECRET"  # noqa: S105 - the variable's name, not its value
RPS = "BREAKWATER_REFERENCE_RPS"


def main(arguments: list[str] | None = None) -> int:
    """Run the service named by the first argument until SIGTERM; returns the exit code."""
    names = sys.argv[1:] if arguments is None else arguments
    try:
        serve(*_parse(names))
    except InvalidInputError as error:
        sys.stderr.write(f"{error}\n")
        return 2
    return 0


def serve(name: str, rps: float | None = None) -> None:
    """Run one service in this process; identity and port come from BREAKWATER_* variables."""
    if name not in SERVICES:
        raise UnknownServiceError(f"no service '{name}'; the fleet has {', '.join(SERVICES)}")
    logging.basicConfig(level=logging.WARNING, stream=sys.stderr)
    os.environ.setdefault("BREAKWATER_SERVICE", name)
    app = build(name, Service.from_env(), world_from_env(rps))
    config = uvicorn.Config(
        app,
        host=os.environ.get("BREAKWATER_HOST", "127.0.0.1"),
        port=int(os.environ.get("BREAKWATER_PORT", "0")),
        loop="uvloop",
        http="httptools",
        ws="none",
        lifespan="on",
        access_log=False,
        log_config=None,
        server_header=False,
        timeout_keep_alive=75,
        timeout_graceful_shutdown=1,
        backlog=512,
    )
    # What was built at the start lives as long as the process: collections need not walk it.
    gc.collect()
    gc.freeze()
    uvicorn.Server(config).run()


def world_from_env(rps: float | None = None) -> World:
    """What the environment says about the fleet; raises InvalidInputError on nonsense."""
    seed = _number(SEED, "1")
    return World(
        seed=int(seed),
        secret=os.environ.get(SECRET) or f"reference fleet {int(seed)}",
        instance=os.environ.get("BREAKWATER_INSTANCE", ""),
        zone=os.environ.get("BREAKWATER_ZONE", ""),
        rps=_number(RPS, "60") if rps is None else rps,
    )


def _parse(arguments: list[str]) -> tuple[str, float | None]:
    usage = f"usage: python -m breakwater.reference {{{'|'.join(SERVICES)}}} [--rps RATE]"
    if len(arguments) == 1:
        return arguments[0], None
    if len(arguments) == 3 and arguments[0] == "player" and arguments[1] == "--rps":
        try:
            return "player", float(arguments[2])
        except ValueError:
            raise InvalidInputError(f"--rps takes a number, not '{arguments[2]}'") from None
    raise InvalidInputError(usage)


def _number(variable: str, default: str) -> float:
    text = os.environ.get(variable, default)
    try:
        return float(text)
    except ValueError:
        raise InvalidInputError(f"{variable} must be a number, not '{text}'") from None
