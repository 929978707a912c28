"""How one attempt ended, in the only distinctions that a part of the guard acts on."""

from enum import Enum


class Verdict(Enum):
    """What an attempt says of the callee.

    SUCCESS, FAILURE and TIMEOUT are judgements. IGNORED says nothing although there was an answer
    (a bad request is the caller's own affair); CANCELLED, that the caller went away; NOT_TRIED,
    that a part further in refused. Whoever gave a permit takes it back after each of the six, and
    judges by the first three only.
    """

    SUCCESS = "success"
    FAILURE = "failure"
    TIMEOUT = "timeout"
    IGNORED = "ignored"
    CANCELLED = "cancelled"
    NOT_TRIED = "not_tried"
