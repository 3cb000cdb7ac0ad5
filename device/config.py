"""`switchboard.toml`: every key is an option of `switchboard play`, and nothing else is allowed."""

import tomllib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import click

from device.errors import SettingsError
from device.files import read_text
from device.model.metadata import shown

# These belong to one call, not to a device.
_NOT_SETTINGS = ("config", "help", "as_json", "seconds", "service", "position", "performance_log")
SEARCHED = (Path("switchboard.toml"), Path("/etc/switchboard/switchboard.toml"))


def find_settings() -> Path | None:
    """The first configuration file that exists."""
    return next((path for path in SEARCHED if path.is_file()), None)


def load_settings(path: Path, command: click.Command) -> dict[str, Any]:
    """Read a configuration file for a command.

    Returns
    -------
    dict
        Parameter name → value, converted and checked exactly as on the command line.

    Raises
    ------
    SettingsError
        If the file is missing or not TOML, or a key or value is not one of the command's.
    """
    raw = _parse(path)
    options = {str(option.name): option for option in _settings_of(command)}
    unknown = sorted(set(raw) - set(options))
    if unknown:
        raise SettingsError(
            f"{path}: found the unknown key {shown(', '.join(unknown))}; "
            f"expected only {', '.join(sorted(options))}"
        )
    context = click.Context(command)
    return {key: _value(path, key, options[key], value, context) for key, value in raw.items()}


def _parse(path: Path) -> dict[str, Any]:
    try:
        return tomllib.loads(read_text(path))
    except OSError as error:
        raise SettingsError(f"{path}: cannot be read ({error.strerror}); check --config") from error
    except (ValueError, RecursionError) as error:
        raise SettingsError(f"{path}: not TOML: {shown(str(error))}; correct that line") from error


def _settings_of(command: click.Command) -> list[click.Option]:
    return [
        p for p in command.params if isinstance(p, click.Option) and p.name not in _NOT_SETTINGS
    ]


def _value(path: Path, key: str, option: click.Option, raw: Any, context: click.Context) -> Any:
    if isinstance(raw, list) != option.multiple and not option.is_flag:
        raise _bad_value(path, key, raw, "a list" if option.multiple else "a single value")
    if raw == []:
        raise _bad_value(path, key, raw, "one value or more; leave it out for the default")
    expected, fits = _expected(option)
    if not all(map(fits, raw if option.multiple else [raw])):
        raise _bad_value(
            path, key, raw, f"a list, each {expected}" if option.multiple else expected
        )
    try:
        return option.type_cast_value(context, raw)
    except click.BadParameter as error:
        # The project's own types say what was found, too.
        expected = error.message.rstrip(".").rpartition("expected ")[2]
        raise _bad_value(path, key, raw, shown(expected)) from error
    except OverflowError as error:
        raise _bad_value(path, key, raw, "a number below 1e308") from error


def _expected(option: click.Option) -> tuple[str, Callable[[Any], bool]]:
    """An option's values, in words and as a test; click alone would convert the others."""
    if option.is_flag:
        return "true or false", lambda value: isinstance(value, bool)
    if isinstance(option.type, click.types.IntParamType):
        return "an integer", lambda value: type(value) is int
    if isinstance(option.type, click.types.FloatParamType):
        return "a number", lambda value: type(value) in (int, float)
    if option.type.name == "pin":
        return 'an integer, or a text such as "chip1:5"', lambda value: type(value) in (int, str)
    # No file and no card has a NUL in its name.
    return "a text", lambda value: isinstance(value, str) and "\0" not in value


def _bad_value(path: Path, key: str, raw: Any, expected: str) -> SettingsError:
    return SettingsError(f"{path}: {key} = {shown(repr(raw))}: expected {expected}")
