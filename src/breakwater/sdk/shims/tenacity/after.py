"""Callbacks after an attempt that is not the end."""

from collections.abc import Callable

from breakwater.sdk.shims.tenacity.calls import RetryCallState
from breakwater.sdk.shims.tenacity.logs import LoggerProtocol, ordinal


def after_nothing(retry_state: RetryCallState) -> None:
    """Do nothing."""


def after_log(
    logger: LoggerProtocol, log_level: int, sec_format: str = "%.3g"
) -> Callable[[RetryCallState], None]:
    """Log that an attempt failed, which, and how long after the start."""

    def log(retry_state: RetryCallState) -> None:
        seconds = retry_state.seconds_since_start
        elapsed = "?" if seconds is None else sec_format % seconds
        logger.log(
            log_level,
            f"Finished call to '{retry_state.get_fn_name()}' after {elapsed}(s), "  # noqa: G004 - any logger with `log`
            f"this was the {ordinal(retry_state.attempt_number)} time calling it.",
        )

    return log
