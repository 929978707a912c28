"""Who sent a request, as far as fairness goes."""

from typing import Final

from starlette.requests import Request

CALLER: Final = "breakwater.caller"
"""Where the edge leaves the name of the token a request came with, in the scope."""


def caller_of(request: Request) -> str:
    """A name for who sent the request: its token's, else its address, and the name it gives.

    That is its header `breakwater-caller`, else its parameter `id`.

    It tells callers apart so that none takes all; it proves nothing.
    """
    scope = request.scope
    client = scope.get("client")
    known = scope.get(CALLER) or (client[0] if client else "")
    given = request.query_params if "query_string" in scope else {}
    named = request.headers.get("breakwater-caller") or given.get("id", "")
    return f"{known} {named[:80]}" if named else str(known)
