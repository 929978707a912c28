"""Reading the body of a request without ever holding more of it than is allowed."""

from starlette.requests import Request

from breakwater.web.errors import BodyTooLargeError


async def bounded_body(request: Request, limit_bytes: int) -> bytes:
    """The body as it was sent; raises BodyTooLargeError as soon as it is beyond `limit_bytes`."""
    chunks: list[bytes] = []
    size_bytes = 0
    async for chunk in request.stream():
        size_bytes += len(chunk)
        if size_bytes > limit_bytes:
            raise BodyTooLargeError(limit_bytes)
        chunks.append(chunk)
    return b"".join(chunks)
