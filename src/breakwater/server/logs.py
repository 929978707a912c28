"""Where log events go: standard error, one line each."""

import contextlib
import logging
import sys
from typing import TextIO

import structlog


class _Lenient:
    """Standard error, but what it cannot take (a full disk) is dropped and stops nobody."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream

    def write(self, text: str) -> None:
        """Write if that is possible."""
        with contextlib.suppress(OSError):
            self._stream.write(text)

    def flush(self) -> None:
        """Flush if that is possible."""
        with contextlib.suppress(OSError):
            self._stream.flush()


def configure_logs(level: str) -> None:
    """Send events of `level` and above to standard error: coloured for a person, else JSON."""
    # What uvicorn warns of, a malformed request, is an event of our own connections.
    logging.getLogger("uvicorn.error").setLevel(logging.ERROR)
    is_person = sys.stderr.isatty()
    renderer: structlog.typing.Processor = (
        structlog.dev.ConsoleRenderer() if is_person else structlog.processors.JSONRenderer()
    )
    exceptions: list[structlog.typing.Processor] = (
        [] if is_person else [structlog.processors.format_exc_info]
    )
    structlog.configure(
        processors=[
            structlog.contextvars.merge_contextvars,
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            *exceptions,
            renderer,
        ],
        wrapper_class=structlog.make_filtering_bound_logger(
            logging.getLevelNamesMapping()[level.upper()]
        ),
        logger_factory=structlog.WriteLoggerFactory(
            file=_Lenient(sys.stderr)  # type: ignore[arg-type]  # it only writes and flushes
        ),
        cache_logger_on_first_use=False,
    )
