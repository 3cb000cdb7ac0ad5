"""Write `docs/reference.md` and the exit statuses in `systemd/README.md` from the code itself.

    .venv/bin/python docs/generate_reference.py           # write both
    .venv/bin/python docs/generate_reference.py --check   # exit status 1 if either is out of date

Commands are found by their entry points, configuration keys by what `play` loads, and errors by
their attribute `exit_code`, so that modules may be moved and renamed.
"""

import ast
import enum
import inspect
import re
import sys
from collections.abc import Iterator, Sequence
from importlib.metadata import EntryPoint, entry_points
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import click

ROOT = Path(__file__).resolve().parents[1]
REFERENCE = ROOT / "docs/reference.md"
APPLIANCE = ROOT / "systemd/README.md"
BEGIN = "<!-- begin: exit statuses, written by docs/generate_reference.py -->"
END = "<!-- end: exit statuses -->"

INTRODUCTION = """\
# Reference: verbs, options, configuration keys, exit statuses

This file is generated: `python docs/generate_reference.py` writes it from the code, and a test
compares it. Change the help texts in the code, not this file.

After `make play` the command is `.venv/bin/switchboard`. `switchboard --help` lists the verbs,
`switchboard VERB --help` prints what stands here, and `switchboard --version` prints the version.
"""
CONFIGURATION = """\
## Configuration keys

`switchboard play` and `switchboard doctor` read the file named by `--config`, else
`./switchboard.toml`, else `/etc/switchboard/switchboard.toml`. Every key is an option of `play`;
an option on the command line takes precedence. An unknown key or a value of another type is an
error (exit status 15).
"""
STATUSES = """\
## Exit statuses

An error is one line on standard error, and its cause is the exit status.
"""
# These are not errors of the project: click and the shell define them.
GENERAL = {
    0: "The command did its work; `play` was ended by the player",
    1: "Unexpected error: the log has a traceback. From `doctor`: the instrument could not play",
    2: "Wrong usage: unknown verb, option or value",
    60: "The button that shuts down was held: the unit switches the device off",
    130: "Interrupted before it played",
}


def points() -> list[EntryPoint]:
    """The installed verbs by name: how they are installed decides their own order."""
    found = {point.name: point for point in entry_points(group="switchboard.commands")}
    return [point for _, point in sorted(found.items())]


def reference() -> str:
    """The whole text of `docs/reference.md`."""
    verbs = [(point.name, point.load()) for point in points()]
    parts = [INTRODUCTION, _table_of_verbs(verbs), "## Verbs\n"]
    for name, command in verbs:
        parts += _sections(f"switchboard {name}", command)
    play = dict(verbs)["play"]
    parts += [CONFIGURATION, _keys(play), STATUSES, _statuses(errors(packages()))]
    return "\n".join(parts)


def appliance(text: str) -> str:
    """The text of `systemd/README.md` with the statuses of what runs on the device."""
    before, _, rest = text.partition(BEGIN)
    _, found, after = rest.partition(END)
    if not found:
        raise ValueError(f"{APPLIANCE}: found no lines {BEGIN} and {END}; put them back")
    # `play` and its store run there; what trains, exports and pushes does not.
    on_the_device = errors([_package_of(point) for point in points() if point.name == "play"])
    return f"{before}{BEGIN}\n\n{_statuses(on_the_device)}\n{END}{after}"


def packages() -> list[str]:
    """The top-level packages that bring verbs."""
    return list(dict.fromkeys(_package_of(point) for point in points()))


def errors(names: list[str]) -> dict[int, str]:
    """Exit status → first line of the error's docstring, for every error of these packages.

    Read from the source, because a verb imports most modules only when it runs.
    """
    found = dict(GENERAL)
    for name in names:
        spec = find_spec(name)
        for folder in (spec.submodule_search_locations if spec else None) or []:
            for path in sorted(Path(folder).rglob("*.py")):
                found |= dict(_errors_in(path))
    return dict(sorted(found.items()))


def _errors_in(path: Path) -> Iterator[tuple[int, str]]:
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.ClassDef):
            for statement in node.body:
                match statement:
                    case ast.Assign([ast.Name("exit_code")], ast.Constant(int(code))) if code > 1:
                        cause = (ast.get_docstring(node) or "").partition("\n")[0]
                        yield code, cause.rstrip(".")


def _package_of(point: EntryPoint) -> str:
    return point.module.partition(".")[0]


def _table_of_verbs(verbs: list[tuple[str, click.Command]]) -> str:
    rows = [(f"[`{name}`](#switchboard-{name})", _summary(verb)) for name, verb in verbs]
    return _table(("verb", "what it does"), rows)


def _summary(command: click.Command) -> str:
    return _one_line((command.help or "").partition("\n\n")[0])


def _sections(path: str, command: click.Command) -> list[str]:
    """A command's own section, then one of each command below it."""
    context = click.Context(command, info_name=path)
    usage = " ".join([path, *command.collect_usage_pieces(context)])
    text = inspect.cleandoc(command.help or "")
    options = [p for p in command.params if isinstance(p, click.Option) and not p.hidden]
    parts = [f"### {path}\n", f"```text\n{usage}\n```\n", f"{text}\n"]
    if options:
        rows = [(_names(o), _kind(o), _default(o), _help(o)) for o in options]
        parts.append(_table(("option", "value", "default", "what it does"), rows))
    if isinstance(command, click.Group):
        for name, below in sorted(command.commands.items()):
            parts += _sections(f"{path} {name}", below)
    return parts


def _keys(play: click.Command) -> str:
    # The module that loads the file says which options belong to one call and not to a device.
    module = inspect.getmodule(vars(inspect.getmodule(play.callback))["load_settings"])
    left_out = vars(module)["_NOT_SETTINGS"]
    rows = [
        (f"`{o.name}`", _toml_kind(o), "`false`" if o.is_flag else _default(o), _help(o))
        for o in play.params
        if isinstance(o, click.Option) and o.name not in left_out
    ]
    return _table(("key", "value", "default", "what it does"), rows)


def _statuses(causes: dict[int, str]) -> str:
    return _table(("status", "cause"), [(str(code), cause) for code, cause in causes.items()])


def _names(option: click.Option) -> str:
    return ", ".join(f"`{name}`" for name in [*option.opts, *option.secondary_opts])


def _kind(option: click.Option) -> str:
    if option.is_flag:
        return "–"
    if isinstance(option.type, click.Choice):
        return "`" + "`, `".join(map(_text, option.type.choices)) + "`"
    kind = f"`{option.metavar}`" if option.metavar else _number_or_text(option)
    return f"{kind}, repeatable" if option.multiple else kind


def _toml_kind(option: click.Option) -> str:
    if option.is_flag:
        return "`true` or `false`"
    if option.multiple:
        return f"list, each {_number_or_text(option)}"
    return _kind(option)


def _number_or_text(option: click.Option) -> str:
    kind = option.type
    name = {"integer": "integer", "float": "number", "path": "path", "file": "path"}.get(
        kind.name.removesuffix(" range"), "text"
    )
    low, high = getattr(kind, "min", None), getattr(kind, "max", None)
    if low is None and high is None:
        return name
    if high is None:
        return f"{name}, at least {low}"
    if low is None:
        return f"{name}, at most {high}"
    return f"{name}, {low} to {high}"


# A default that depends on the machine or on other options stands at the end of the help text.
_SAID_DEFAULT = re.compile(r"\s*\[(?:default: )?([^\[\]]+)\]$")


def _default(option: click.Option) -> str:
    said = _SAID_DEFAULT.search(_one_line(option.help or ""))
    if option.required:
        return "required"
    if said:
        return said[1]
    if isinstance(option.show_default, str):
        return option.show_default
    default: Any = option.get_default(click.Context(click.Command("")), call=False)
    if option.is_flag or default is None or callable(default) or repr(default).endswith("UNSET"):
        return "off" if option.is_flag else "–"
    if isinstance(default, (tuple, list)):
        return "[" + ", ".join(map(_text, default)) + "]" if default else "–"
    return f"`{_text(default)}`"


def _help(option: click.Option) -> str:
    return _SAID_DEFAULT.sub("", _one_line(option.help or ""))


def _text(value: Any) -> str:
    return str(value.value if isinstance(value, enum.Enum) else value)


def _one_line(text: str) -> str:
    return " ".join(text.split())


def _table(head: tuple[str, ...], rows: Sequence[tuple[str, ...]]) -> str:
    lines = [head, ("---",) * len(head), *rows]
    return "".join(f"| {' | '.join(c.replace('|', chr(92) + '|') for c in r)} |\n" for r in lines)


def main(arguments: list[str]) -> int:
    """Write both files, or compare them with what would be written."""
    texts = {REFERENCE: reference(), APPLIANCE: appliance(APPLIANCE.read_text(encoding="utf-8"))}
    stale = [
        path
        for path, text in texts.items()
        if not path.exists() or path.read_text(encoding="utf-8") != text
    ]
    if "--check" in arguments:
        for path in stale:
            sys.stderr.write(f"{path}: out of date; run {Path(__file__).name}\n")
        return 1 if stale else 0
    for path in stale:
        path.write_text(texts[path], encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
