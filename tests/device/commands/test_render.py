"""`switchboard render` on the tiny model."""

import numpy as np
import pytest

from tests.support.command_output import RATE, samples_of

pytestmark = pytest.mark.usefixtures("own_folder")


def test_render_writes_the_requested_seconds_of_one_state(run):
    output = run("render", "--bits", "101", "--seconds", 1.5, "--out", "state.wav")
    assert output.startswith("state.wav: 1.5 s, ")
    samples = samples_of("state.wav")
    assert len(samples) == round(1.5 * RATE)
    assert 0.01 < samples.std() < 0.5
    assert samples[-1] == 0


def test_render_has_the_options_of_the_music(run):
    plain = ["render", "--bits", "101", "--seconds", 0.5]
    run(*plain, "--out", "plain.wav")
    for number, option in enumerate(
        [["--seed", 2], ["--tempo", 90], ["--tape", 1], ["--gain", -6]]
    ):
        run(*plain, "--out", f"{number}.wav", *option)
        assert not np.array_equal(samples_of("plain.wav"), samples_of(f"{number}.wav"))
