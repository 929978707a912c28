"""Where log events go: standard error, one line each."""

import logging
import sys

import structlog


def configure_logs(level: str) -> None:
    """Send events of `level` and above to standard error: coloured for a person, else JSON."""
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
        logger_factory=structlog.WriteLoggerFactory(file=sys.stderr),
        cache_logger_on_first_use=False,
    )
