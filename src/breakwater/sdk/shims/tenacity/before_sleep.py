"""Callbacks before the wait for the next attempt."""

import traceback
from collections.abc import Callable

from breakwater.sdk.shims.tenacity.calls import RetryCallState
from breakwater.sdk.shims.tenacity.logs import LoggerProtocol


def before_sleep_nothing(retry_state: RetryCallState) -> None:
    """Do nothing."""


def before_sleep_log(
    logger: LoggerProtocol,
    log_level: int,
    exc_info: bool = False,  # noqa: FBT001, FBT002 - the library's signature
    sec_format: str = "%.3g",
) -> Callable[[RetryCallState], None]:
    """Log how the attempt ended and when the next one begins; exc_info: with the traceback."""

    def log(retry_state: RetryCallState) -> None:
        outcome, action = retry_state.outcome, retry_state.next_action
        if outcome is None:
            raise RuntimeError("log_it() called before outcome was set")
        if action is None:
            raise RuntimeError("log_it() called before next_action was set")
        error = outcome.exception()
        if error is None:
            how = f"returned {outcome.result()}"
        else:
            how = f"raised {type(error).__name__}: {error}"
        message = (
            f"Retrying {retry_state.get_fn_name()} in {sec_format % action.sleep} seconds "
            f"as it {how}."
        )
        if exc_info and error is not None:
            message += "\n" + "".join(traceback.format_exception(error)).rstrip()
        logger.log(log_level, message)

    return log
