"""Invalid input to every verb: one line that says so, an exit code per cause, no files left."""

from pathlib import Path

import pytest

from device import errors
from device.cli import main
from tests.support import tiny_model as tiny
from tests.support.command_output import listing, run_in_subprocess
from tests.support.invalid_commands import CODE, INVALID_COMMANDS, PLAY
from tests.support.invalid_files import FILES


@pytest.mark.parametrize("invalid", INVALID_COMMANDS.values(), ids=INVALID_COMMANDS)
def test_an_invalid_command_prints_one_line_and_exits_with_its_own_status(
    invalid, command_folder, capsys
):
    for name in invalid.files:
        FILES[name](command_folder / name)
    before = listing(command_folder)
    status = main(invalid.command.split())
    out, err = capsys.readouterr()
    assert status == invalid.error.exit_code
    assert (out, err.count("\n")) == ("", 1)
    assert err.startswith("switchboard: ")
    assert [word for word in invalid.words if word not in err] == []
    assert listing(command_folder) == before


def test_the_table_has_every_error_that_a_user_can_cause_on_the_device():
    caused = {invalid.error for invalid in INVALID_COMMANDS.values()}
    # MissingExtra depends on the installation (see below), PackageConflict on other distributions
    # (see tests/device/system), StoreFull on the disk (see test_full_disk.py), and ModelOutOfReach
    # on rights, which root has (see tests/device/store).
    device_errors = {
        error
        for error in errors.SwitchboardError.__subclasses__()
        if error.__module__ == errors.__name__
    }
    elsewhere = {errors.MissingExtra, errors.PackageConflict}
    elsewhere |= {errors.StoreFull, errors.ModelOutOfReach}
    assert caused >= device_errors - elsewhere


# gpiozero looks for pins once per process, so this needs a process of its own.
def test_missing_pins_print_one_line(command_folder):
    if Path("/dev/gpiochip0").exists():
        pytest.skip("this machine has pins")
    tiny.build(command_folder / "tiny.onnx")
    before = listing(command_folder)
    completed = run_in_subprocess(f"{PLAY} gpio")
    assert completed.returncode == errors.SwitchesUnavailable.exit_code
    assert completed.stderr.count("\n") == 1
    assert "gpio" in completed.stderr
    assert "5, 6, 13, 26, 24, 25, 12, 16" in completed.stderr
    # lgpio, which gpiozero tries first, leaves a pipe of its own in the current folder.
    after = listing(command_folder)
    assert {name: after[name] for name in after if not name.startswith(".lgd-nfy")} == before


def test_a_verb_without_its_packages_prints_what_to_install(command_folder, capsys, monkeypatch):
    def missing():
        raise ModuleNotFoundError("No module named 'torch'", name="torch")

    monkeypatch.setattr("importlib.metadata.EntryPoint.load", lambda _self: missing())
    assert main(["train"]) == errors.MissingExtra.exit_code
    err = capsys.readouterr().err
    assert err.count("\n") == 1
    assert "pip install 'lofi-switchboard[training]'" in err


@pytest.mark.parametrize(
    ("command", "words"),
    [
        ("plays", "No such command 'plays'"),
        ("play --sead 1", "No such option"),
        ("play --seed -1", "-1 is not in the range"),
        ("play --tape 2", "2.0 is not in the range"),
        ("play --quantize bars", "'bars' is not one of"),
        ("export run --quantize int4", "'int4' is not one of"),
        ("push {tiny}", "at least one HOST before MODEL"),
        ("push", "Missing argument 'HOST... MODEL'"),
        ("push studio {tiny} --port 70000", "70000 is not in the range"),
        ("pair", "Missing argument 'HOST'"),
        ("play --model {tiny} --switches theremin", "found 'theremin', expected auto, gpio"),
        ("render --out x.wav", "Missing option '--bits', '--share' or '--performance'"),
        (f"render --out x.wav --share {CODE} --bits 1", "--share contains what --bits sets"),
        (f"play --share {CODE} --seed 2", "--share contains what --seed sets"),
        ("bench --seconds nan", "nan is not a finite number"),
        ("train corpus --out run --minutes nan", "nan is not a finite number"),
        ("corpus studio --minutes inf --out corpus", "inf is not a finite number"),
        ("render --bits 101 --out x.wav --seconds inf", "inf is not a finite number"),
    ],
)
def test_a_wrong_command_line_is_explained_with_exit_status_2(
    command_folder, tiny_model, capsys, command, words
):
    status = main(command.format(tiny=tiny_model).split())
    assert status == 2
    assert words in capsys.readouterr().err
    assert list(command_folder.iterdir()) == []
