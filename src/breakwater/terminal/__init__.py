"""A running platform as the commands of all rooms see it: named, asked, and shown in a terminal.

`ask` sends one request and gives back the body; whatever goes wrong is one of two errors whose
message is a sentence for the person at the keyboard. `server_option`, `token_option` and
`json_option` make every command take the same flags; `print_table` and `moment` make answers look
alike. It stands at the bottom, beside the SDK and not in it: services have no use for click.
"""

from breakwater.terminal.asking import ask
from breakwater.terminal.errors import NoAnswerError, RefusedError
from breakwater.terminal.options import json_option, server_option, token_option
from breakwater.terminal.tables import moment, print_table

__all__ = [
    "NoAnswerError",
    "RefusedError",
    "ask",
    "json_option",
    "moment",
    "print_table",
    "server_option",
    "token_option",
]
