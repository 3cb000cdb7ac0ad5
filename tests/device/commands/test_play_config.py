"""The configuration file of `play`: where it is found and what it changes."""

from pathlib import Path

import pytest

from device.commands.play import play
from device.config import find_settings, load_settings
from device.errors import SettingsError
from tests.support.command_output import settings_file

pytestmark = pytest.mark.usefixtures("own_folder")


def test_settings_change_the_defaults(run_json, script):
    config = settings_file(
        f'switches = "{script}"\nspeaker = "wav:set.wav"\nseed = 5\nquantize = "beat"\n'
        "still = true\npins = [5, 6]\ntempo = 90\ntape = 0.5\n"
    )
    figures = run_json("play", "--config", config, "--seconds", 0.5)
    assert (figures["speaker"], figures["switches"]) == ("set.wav", script)


def test_the_command_line_takes_precedence_over_the_settings(run, script):
    config = settings_file(f'switches = "{script}"\nseed = 5\nspeaker = "wav:five.wav"\n')
    run("play", "--config", config, "--seconds", 0.5)
    run("play", "--config", config, "--seconds", 0.5, "--seed", 1, "--speaker", "wav:one.wav")
    run("play", "--switches", script, "--seconds", 0.5, "--speaker", "wav:plain.wav")
    assert Path("one.wav").read_bytes() == Path("plain.wav").read_bytes()
    assert Path("one.wav").read_bytes() != Path("five.wav").read_bytes()


def test_settings_in_the_current_folder_are_found_without_an_option(run_json, script):
    settings_file('speaker = "wav:found.wav"\n', "switchboard.toml")
    assert find_settings() == Path("switchboard.toml")
    figures = run_json("play", "--switches", script, "--seconds", 0.5)
    assert figures["speaker"] == "found.wav"


def test_without_a_settings_file_there_are_no_settings():
    assert find_settings() is None


def test_settings_are_converted_as_on_the_command_line():
    config = settings_file('model = "m.onnx"\npins = [5, 6]\ngain = -6\nstill = false\n')
    settings = load_settings(config, play)
    assert settings == {"model": Path("m.onnx"), "pins": (5, 6), "gain": -6.0, "still": False}


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (
            "sead = 1",
            r"box\.toml: found the unknown key sead; expected only active_high, control, gain, ",
        ),
        ("seconds = 5", r"found the unknown key seconds"),
        ("config = 'x'", r"found the unknown key config"),
        ("as_json = true", r"found the unknown key as_json"),
        ("[music]\nseed = 1", r"found the unknown key music"),
        ("seed 1", r"not TOML: .*line 1.*; correct that line"),
        ("seed = 1\nseed = 2", r"not TOML: Cannot overwrite a value"),
        ("seed = -1", r"seed = -1: expected -1 is not in the range x>=0"),
        ('seed = "one"', r"seed = 'one': expected an integer"),
        ("seed = true", r"seed = True: expected an integer"),
        ("seed = [1]", r"seed = \[1\]: expected a single value"),
        ("pins = 5", r"pins = 5: expected a list"),
        ('pins = ["five"]', r"pins = \['five'\]: expected a BCM number, or chip1:5"),
        ("still = 1", r"still = 1: expected true or false"),
        ('quantize = "bars"', r"quantize = 'bars': expected 'bars' is not one of"),
        ("tempo = 1000", r"tempo = 1000: expected 1000.* is not in the range"),
        ("tape = nan", r"tape = nan: expected"),
    ],
)
def test_invalid_settings_are_refused_with_the_key_named(text, words):
    with pytest.raises(SettingsError, match=words):
        load_settings(settings_file(text), play)


def test_settings_that_are_missing_or_not_text_are_refused():
    with pytest.raises(SettingsError, match=r"none\.toml: cannot be read .*check --config"):
        load_settings(Path("none.toml"), play)
    Path("bytes.toml").write_bytes(b"seed = \xff")
    with pytest.raises(SettingsError, match=r"bytes\.toml: not TOML"):
        load_settings(Path("bytes.toml"), play)


def test_an_encoder_with_one_contact_is_an_error_of_the_configuration():
    from device.commands.instrument_settings import InstrumentSettings
    from device.errors import SettingsError

    with pytest.raises(SettingsError, match="volume_encoder: found 1 pins, expected two"):
        _ = InstrumentSettings(volume_encoder=(17,)).panel_pins


@pytest.mark.parametrize(("options", "status"), [((), 0), (("--service",), 60)])
def test_a_service_that_the_button_has_ended_says_so_by_its_status(
    command_folder, monkeypatch, options, status
):
    from device.cli import main
    from device.commands import build_instrument, open_hands
    from device.switches.commands import ShutDown

    def held(settings, instrument, report):
        instrument.control.queue.put(ShutDown())
        return open_hands.open_hands(settings, instrument, report)

    monkeypatch.setattr(build_instrument, "open_hands", held)
    monkeypatch.setattr(build_instrument, "lock_memory", lambda report: None)
    monkeypatch.setattr(build_instrument, "set_realtime_priority", lambda report: None)
    arguments = ["play", "--switches", "demo", "--speaker", "silent", "--seconds", "9", *options]
    assert main(arguments) == status
