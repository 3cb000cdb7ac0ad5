"""The command `switchboard` itself: help, version and the list of its commands."""

import pytest

from device.cli import main


@pytest.mark.parametrize("verb", ["play", "render", "sweep", "bench", "doctor"])
def test_every_verb_explains_itself(verb, capsys):
    assert main([verb, "--help"]) == 0
    assert f"{verb} [OPTIONS]" in capsys.readouterr().out


def test_the_command_tells_its_version_and_its_verbs(capsys):
    assert main(["--version"]) == 0
    assert main(["--help"]) == 0
    said = capsys.readouterr().out
    assert "switchboard, version " in said
    assert all(f"\n  {verb} " in said for verb in ("play", "render", "sweep", "bench", "doctor"))
