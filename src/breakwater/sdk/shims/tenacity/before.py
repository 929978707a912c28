"""Callbacks before an attempt."""

from collections.abc import Callable

from breakwater.sdk.shims.tenacity.calls import RetryCallState
from breakwater.sdk.shims.tenacity.logs import LoggerProtocol, ordinal


def before_nothing(retry_state: RetryCallState) -> None:
    """Do nothing."""


def before_log(logger: LoggerProtocol, log_level: int) -> Callable[[RetryCallState], None]:
    """Log that an attempt begins, and which."""

    def log(retry_state: RetryCallState) -> None:
        logger.log(
            log_level,
            f"Starting call to '{retry_state.get_fn_name()}', "  # noqa: G004 - any logger with `log`
            f"this is the {ordinal(retry_state.attempt_number)} time calling it.",
        )

    return log
