"""The option that names the instrument's control socket, for the processes that play it."""

from pathlib import Path

import click

DEFAULT_CONTROL = Path("/run/switchboard/control.sock")

control_option = click.option(
    "--control",
    type=click.Path(path_type=Path),
    default=DEFAULT_CONTROL,
    show_default=True,
    envvar="SWITCHBOARD_CONTROL",
    help="Control socket of the instrument, as its option --control names it; or the environment "
    "variable SWITCHBOARD_CONTROL.",
)
