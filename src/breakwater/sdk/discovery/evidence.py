"""What one call says of the instance it went to.

(The lead overwrote this file by mistake and wrote it anew from its uses; its owner checks it.)
"""

from enum import Enum


class Evidence(Enum):
    """SUCCESS: it answered. REFUSED: nobody listens there. TIMEOUT: no answer in time.

    FAILURE: it answered that it cannot. NOTHING: the call says nothing of the instance, as when
    it was cancelled or never sent.
    """

    NOTHING = "nothing"
    SUCCESS = "success"
    FAILURE = "failure"
    REFUSED = "refused"
    TIMEOUT = "timeout"
