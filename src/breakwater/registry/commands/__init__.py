"""`breakwater registry`: who is there, how sure that is, and what an operator can do about it.

`list`, `show`, `watch`, `peers` and `acts` look; `drop`, `drain`, `pin`, `unpin`, `override` and
`undo` act. Every act is in the journal, and can be taken back.
"""

import click

from breakwater.registry.commands import acting, reading


@click.group()
def registry() -> None:
    """Who is there: the running instances of every service."""


for _command in (*reading.COMMANDS, *acting.COMMANDS):
    registry.add_command(_command)
