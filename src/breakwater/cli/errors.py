"""What can go wrong before a command runs.

CommandMissingError(UnavailableError)   the command's room or one of its libraries is not installed
"""

from breakwater.model import UnavailableError


class CommandMissingError(UnavailableError):
    """A command that cannot be loaded here."""
