"""The command `switchboard` itself: help, version and the list of its commands."""

import pytest

from device.cli import main


@pytest.mark.parametrize("verb", ["play", "render", "sweep", "bench", "doctor"])
def test_every_verb_has_help(verb, capsys):
    assert main([verb, "--help"]) == 0
    assert f"{verb} [OPTIONS]" in capsys.readouterr().out


def test_the_command_prints_its_version_and_its_verbs(capsys):
    assert main(["--version"]) == 0
    assert main(["--help"]) == 0
    output = capsys.readouterr().out
    assert "switchboard, version " in output
    assert all(f"\n  {verb} " in output for verb in ("play", "render", "sweep", "bench", "doctor"))
