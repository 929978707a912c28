"""Why a stream is not given.

BreakwaterError
└── LimitExceededError
    └── StreamRefusedError   as many watch it as may, or the process is ending; come back later
"""

from breakwater.model import LimitExceededError


class StreamRefusedError(LimitExceededError):
    """Nobody else may watch this stream now; answered as 503."""
