"""`switchboard.toml`: every key against every type that TOML has, at the verbs that read it."""

import codecs
import os

import click
import pytest

from device.cli import main
from device.commands.play import play
from device.config import load_settings
from device.errors import SettingsError

# Every type that TOML has, with values that resemble another type.
TOML = {
    "true": "true",
    "integer": "7",
    "negative": "-7",
    "huge integer": "1" + "0" * 400,
    "endless integer": "9" * 100_000,
    "float": "0.5",
    "whole float": "7.0",
    "inf": "inf",
    "-inf": "-inf",
    "nan": "nan",
    "text": '"words"',
    "number as text": '"7"',
    "empty text": '""',
    "NUL": '"a\\u0000b"',
    "escape": '"\\u001b[2J"',
    "long text": f'"{"x" * 10_000}"',
    "date": "2026-11-26",
    "time": "07:32:00",
    "date and time": "1979-05-27T07:32:00Z",
    "empty list": "[]",
    "list": "[5, 6]",
    "list of truth": "[true]",
    "list of floats": "[5.9]",
    "list of texts": '["5"]',
    "nested list": "[[5], [6]]",
    "table": "{ a = 1 }",
    "list of tables": "[{ a = 1 }]",
}
OPTIONS = {
    option.name: option
    for option in play.params
    if option.name not in ("config", "as_json", "seconds", "service", "position", "performance_log")
}
NUMBERS = {"integer", "negative", "float", "whole float", "huge integer"}
TEXTS = {"text", "number as text", "empty text", "escape", "long text"}


def accepted_types(option):
    """The entries of `TOML` that an option accepts within its range."""
    if option.is_flag:
        return {"true"}
    if option.type.name == "pin":
        # One of the texts is a number.
        return {"list", "list of texts"}
    if option.multiple:
        is_of_numbers = isinstance(option.type, click.types.IntParamType)
        return {"list" if is_of_numbers else "list of texts"}
    if isinstance(option.type, click.types.IntParamType):
        return {"integer", "negative", "huge integer"}
    return NUMBERS if isinstance(option.type, click.types.FloatParamType) else TEXTS


def write(folder, text):
    path = folder / "device.toml"
    path.write_text(text, encoding="utf-8")
    return path


@pytest.mark.parametrize("key", sorted(OPTIONS))
def test_a_value_of_another_type_is_refused(key, tmp_path):
    accepted = set()
    for name, text in TOML.items():
        path = write(tmp_path, f"{key} = {text}\n")
        try:
            value = load_settings(path, play)[key]
        except SettingsError as refusal:
            message = str(refusal)
            assert message.isprintable(), name
            assert len(message) < 400 + len(str(path)), name
            assert "expected" in message or "not TOML" in message, name
        else:
            accepted.add(name)
            assert "\0" not in str(value)
    assert accepted <= accepted_types(OPTIONS[key])
    # Choices and times accept only their own words, and narrow ranges only their numbers.
    own = ("choice", "float range", "HH:MM", "HH:MM-HH:MM")
    assert accepted or OPTIONS[key].type.name in own


@pytest.mark.parametrize("name", sorted(set(TOML) - TEXTS))
@pytest.mark.parametrize("key", ["model", "switches"])
def test_a_value_that_is_no_text_ends_play_with_one_line_and_exit_status_15(
    key, name, tmp_path, capsys
):
    path = write(tmp_path, f"{key} = {TOML[name]}\n")
    status = main(["play", "--config", str(path)])
    assert (status, capsys.readouterr().err.count("\n")) == (SettingsError.exit_code, 1)


@pytest.mark.parametrize("text", ["model = 5", "pins = [[5]]", "seed = 2026-11-26", "gain = {}"])
def test_doctor_reports_what_play_would_refuse(text, tmp_path, capsys):
    path = write(tmp_path, text)
    assert main(["doctor", "--config", str(path)]) == 1
    out, err = capsys.readouterr()
    assert "configuration" in out
    assert "Traceback" not in out + err


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("seed = 1.9", r"seed = 1\.9: expected an integer"),
        ("pins = [5.9]", r"pins = \[5\.9\]: expected a list, each an integer"),
        ("pins = [true]", r"pins = \[True\]: expected a list, each an integer"),
        ("pins = [[5, 6]]", r"pins = \[\[5, 6\]\]: expected a list, each an integer"),
        ("pins = []", r"pins = \[\]: expected one value or more; leave it out for the default"),
        ("model = 5", r"model = 5: expected a text"),
        ('model = "a\\u0000b"', r"model = 'a\\x00b': expected a text"),
        ('gain = "3"', r"gain = '3': expected a number"),
        ("gain = inf", r"gain = inf: expected"),
        (f"tempo = 1{'0' * 400}", r"tempo = 10+….*: expected a number below 1e308"),
        ("a" * 5000 + " = 1", r"found the unknown key a{100,200}…"),
        ("x = " + "[" * 5000 + "]" * 5000, r"not TOML"),
    ],
)
def test_the_refusal_has_the_value_and_the_expected_type(text, message, tmp_path):
    with pytest.raises(SettingsError, match=message):
        load_settings(write(tmp_path, text), play)


def test_a_byte_order_mark_and_windows_line_ends_are_ignored(tmp_path):
    path = tmp_path / "device.toml"
    path.write_bytes(codecs.BOM_UTF8 + b"seed = 3\r\npins = [5, 6]\r\n")
    assert load_settings(path, play) == {"seed": 3, "pins": (5, 6)}


def test_settings_in_a_pipe_or_a_device_are_refused_at_once(tmp_path, capsys):
    os.mkfifo(tmp_path / "pipe")
    for path in (tmp_path / "pipe", "/dev/zero"):
        assert main(["play", "--config", str(path)]) == SettingsError.exit_code
        assert "expected a file" in capsys.readouterr().err
