"""What a loop is made of in this very process: its bytecode, and what it and its callees read.

The digest of the sources says what is on disk. A module that was imported before its source was
edited is another matter: its constants are the former ones, and so is the code that reads them.
Code is therefore kept under both, and never taken for that of sources it was not made from.
"""

import hashlib
from types import CodeType, FunctionType
from typing import Final

import numpy as np

_PLAIN: Final = (bool, int, float, complex, str, bytes, np.generic)


def fingerprint(function: FunctionType) -> str:
    """Tells loops apart that differ in bytecode or constants, their own or those of a callee."""
    state = hashlib.blake2b(digest_size=12)
    seen, waiting = {function}, [function]
    while waiting:
        each = waiting.pop()
        for part in _parts(each.__code__):
            state.update(part)
        for name in each.__code__.co_names:
            value = each.__globals__.get(name)
            callee = getattr(value, "py_func", None)
            if isinstance(callee, FunctionType) and callee not in seen:
                seen.add(callee)
                waiting.append(callee)
            state.update(name.encode() + b"=" + _spelled(value) + b"\0")
    return state.hexdigest()


def _parts(code: CodeType) -> list[bytes]:
    return [code.co_code, *(_spelled(value) for value in code.co_consts)]


def _spelled(value: object) -> bytes:
    """A value as bytes that are the same in every process; of what is no constant, its type."""
    if isinstance(value, np.ndarray):
        return f"{value.dtype}{value.shape}".encode() + value.tobytes()
    if isinstance(value, tuple):
        return b"(" + b",".join(map(_spelled, value)) + b")"
    return repr(value if isinstance(value, _PLAIN) else type(value)).encode()
