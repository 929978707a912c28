"""What an adapter says when its library is not installed: what to install."""

from typing import Final

_INSTALLED_AS: Final = {"grpc": "grpcio"}
"""Where the name to install is not the one that is imported."""


def not_installed(error: ModuleNotFoundError, library: str) -> ModuleNotFoundError:
    """The error to raise for `error`; library: the module that the adapter is for.

    Where another module is missing, of which the library itself has need, that error stays.
    """
    if error.name is None or error.name.partition(".")[0] != library:
        return error
    wanted = _INSTALLED_AS.get(library, library)
    return ModuleNotFoundError(
        f"this adapter is for {wanted}, which is not installed: pip install {wanted}",
        name=error.name,
        path=error.path,
    )
