"""The flags that every command asking a running platform takes."""

import click

server_option = click.option(
    "--server",
    envvar="BREAKWATER_URL",
    default="http://127.0.0.1:7101",
    show_default=True,
    show_envvar=True,
    metavar="URL",
    help="Where the platform answers.",
)
token_option = click.option(
    "--token",
    envvar="BREAKWATER_TOKEN",
    default="",
    show_envvar=True,
    help="Access token, where the platform asks for one.",
)
json_option = click.option(
    "--json", "as_json", is_flag=True, help="Print JSON, as the platform gave it."
)
