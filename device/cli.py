"""The `switchboard` command: finds its verbs, prints errors as one line, sets the exit status."""

import io
import os
import sys
from functools import cached_property
from importlib.metadata import EntryPoint, entry_points, version
from typing import Any

import click

from device.console import say, take_any_text
from device.errors import Ended, MissingExtra, OutputError, PackageConflict, SwitchboardError
from device.plain_text import MOST_IN_LINE, one_line

ENTRY_POINT_GROUP = "switchboard.commands"

# The extra that installs each optional package. Names only: nothing here is imported.
_EXTRA_OF = {
    "distributed": "cluster",
    "torch": "training",
    "librosa": "training",
    "soundfile": "training",
    "scipy": "training",
    "matplotlib": "training",
    "jinja2": "training",
    "markupsafe": "training",
    "pebble": "training",
    "segno": "training",
    "threadpoolctl": "training",
    "tinytag": "training",
    "onnx": "export",
    "onnxscript": "export",
    "zeroconf": "find",
    "pythonosc": "osc",
    "link": "link",
    "h11": "panel",
}


class Verbs(click.Group):
    """A group whose commands are entry points, imported on demand."""

    @cached_property  # the search reads every installed package's list
    def _entry_points(self) -> dict[str, EntryPoint]:
        return {point.name: point for point in entry_points(group=ENTRY_POINT_GROUP)}

    def list_commands(self, ctx: click.Context) -> list[str]:
        """In the order in which they are declared."""
        del ctx
        return list(self._entry_points)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Import one verb."""
        del ctx
        point = self._entry_points.get(cmd_name)
        if point is None:
            return None
        command: click.Command = point.load()
        return command


def _print_version(ctx: click.Context, _parameter: click.Parameter, value: bool) -> None:
    if value and not ctx.resilient_parsing:
        from device.synthesis.implementation import describe_kernel

        say(f"switchboard, version {version('lofi-switchboard')}; {describe_kernel()}")
        ctx.exit()


@click.group(cls=Verbs, context_settings={"help_option_names": ["-h", "--help"]})
@click.option(
    "--version",
    is_flag=True,
    is_eager=True,
    expose_value=False,
    callback=_print_version,
    help="Show the version, and what computes the sound, and exit.",
)
def switchboard() -> None:
    """Lo-Fi Switchboard: toggle switches in, endless lo-fi music out."""


def main(args: list[str] | None = None) -> int:
    """Run the command; the one place where errors become text and an exit status."""
    take_any_text()
    try:
        result: Any = switchboard.main(args, standalone_mode=False)
    except click.ClickException as error:
        text = io.StringIO()
        error.show(text)
        say(*text.getvalue().splitlines(), err=True)
        return error.exit_code
    except (click.Abort, KeyboardInterrupt) as ended:
        if isinstance(ended.__cause__, EOFError):
            # A file that ended too early: click reports it as Ctrl-D at a prompt.
            raise ended.__cause__ from None
        return 130
    except Ended as ended:
        return 128 + ended.number
    except (SwitchboardError, ModuleNotFoundError, OSError) as error:
        return _explain(error)
    return result if isinstance(result, int) else 0


def _explain(error: SwitchboardError | ModuleNotFoundError | OSError) -> int:
    if isinstance(error, SwitchboardError):
        return _fail(error)
    if isinstance(error, ModuleNotFoundError):
        return _fail(_missing_package(error))
    if isinstance(error, BrokenPipeError):
        # The reader of standard output has closed it: end without another error at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 141
    # Modules handle errors of their own files; this is standard output, as on a full disk.
    return _fail(OutputError(f"{error.filename or 'output'}: {error.strerror or error}"))


def _fail(error: SwitchboardError) -> int:
    say(f"switchboard: {one_line(str(error), MOST_IN_LINE)}", err=True)
    return error.exit_code


def _missing_package(error: ModuleNotFoundError) -> SwitchboardError:
    from device.system.package_owners import PACKAGES, REMEDY, foreign_owners

    package = (error.name or "").partition(".")[0]
    extra = _EXTRA_OF.get(package)
    if extra is not None:
        return MissingExtra(
            f"this verb needs {package}, which this installation left out; "
            f"install it with: pip install 'lofi-switchboard[{extra}]'"
        )
    owner = foreign_owners().get(package) if package in PACKAGES else None
    if owner is None:
        raise error
    return PackageConflict(
        f"found the package {package} of {owner}, which has no {error.name}, "
        f"expected that of lofi-switchboard; {REMEDY}"
    )
