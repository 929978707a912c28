"""One error for several callers, a fresh object for each.

Raising one exception object again and again lengthens its traceback each time and keeps every
frame on the way alive; raising it in two threads at once mixes them up. So whoever shares an
outcome raises a copy: same class, arguments, attributes and cause, and a traceback that goes on
from where the original's was, which stays as it is.
"""

from copy import copy
from types import FunctionType
from typing import Final, TypeVar

E = TypeVar("E", bound=BaseException)

_OS_FIELDS: Final = ("errno", "strerror", "filename", "filename2")


def replay(error: E) -> E:
    """A copy of `error` to raise; `error` itself if it cannot be copied.

    Classes with an `__init__` in Python are copied without running it, since its parameters need
    not be the arguments that the exception keeps.
    """
    made = _copied(error)
    if made is error:
        return error
    made.__cause__ = error.__cause__
    made.__context__ = None
    made.__suppress_context__ = error.__suppress_context__
    made.__traceback__ = error.__traceback__
    return made


def _copied(error: E) -> E:
    kind = type(error)
    try:
        if not isinstance(kind.__init__, FunctionType):
            made = copy(error)
            return made if type(made) is kind else error
        made = kind.__new__(kind, *error.args)
        made.args = error.args
        made.__dict__.update(error.__dict__)
    except (TypeError, ValueError, AttributeError):
        return error
    if isinstance(error, OSError):
        for name in _OS_FIELDS:
            if getattr(error, name) is not None:
                setattr(made, name, getattr(error, name))
    return made
