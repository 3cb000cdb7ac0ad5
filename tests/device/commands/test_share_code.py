"""The option --share of `render` and `play`."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from device.cli import main
from device.files import sha256_of
from device.playback.share_code import SharedPosition
from device.store.store import ModelStore
from device.synthesis.griffin_lim import GriffinLim
from device.synthesis.transport import Transport
from tests.support.command_output import RATE, samples_of

pytestmark = pytest.mark.usefixtures("own_folder")


@pytest.fixture
def tiny_digest(tiny_model):
    return sha256_of(tiny_model)[:6]


def shared(tiny_digest, **changes):
    position = SharedPosition(tiny_digest, (True, False, True), 5, None, still=False, n_slots=43)
    return replace(position, **changes).code


def test_a_share_code_draws_the_frames_that_were_drawn_at_its_position(run, tiny_digest, network):
    of_code, from_start = FrameRecorder(), FrameRecorder()
    options = ["--seconds", 3, "--out", "x.wav", "--tape", 0]
    with of_code:
        run("render", "--share", shared(tiny_digest, n_slots=43), *options)
    with from_start:
        run("render", "--bits", "101", "--seed", 5, "--seconds", 9, *options[2:])
    first = Transport.of(network.card).frame_at(43 / 4)
    n_frames = round(2.9 * RATE / 64)
    assert np.array_equal(of_code.frames[:n_frames], from_start.frames[first : first + n_frames])


def test_a_share_code_is_the_same_samples_every_time(run, tiny_digest):
    code = shared(tiny_digest, tempo_bpm=90.0, still=True)
    for name in ("one.wav", "two.wav"):
        run("render", "--share", code, "--seconds", 1, "--out", name)
    assert Path("one.wav").read_bytes() == Path("two.wav").read_bytes()


def test_a_share_code_sounds_like_the_music_at_its_position(run, tiny_digest):
    """But for the phases, which depend on the frames before."""
    options = ["--tape", 0, "--out"]
    run("render", "--share", shared(tiny_digest), "--seconds", 3, *options, "shared.wav")
    run("render", "--bits", "101", "--seed", 5, "--seconds", 9, *options, "heard.wav")
    start = Transport(64 / RATE, 120.0, 4).frame_at(43 / 4) * 64
    of_code, from_start = samples_of("shared.wav"), samples_of("heard.wav")
    a_16th = round(RATE * 60 / 120 / 4)
    assert distance_db(of_code, from_start[start:]) < -10
    assert distance_db(of_code, from_start[start + a_16th :]) > -5


def test_play_begins_at_a_share_code_with_its_switches(run, run_json, tiny_digest):
    speaker = ["--speaker", "wav:x.wav", "--seconds", 1]
    figures = run_json("play", "--share", shared(tiny_digest), *speaker)
    assert (figures["switches"], figures["n_flips"]) == ("demo", 0)
    run("render", "--share", shared(tiny_digest), "--seconds", 1, "--out", "y.wav")
    assert np.array_equal(samples_of("x.wav")[: RATE // 2], samples_of("y.wav")[: RATE // 2])


def test_a_script_takes_precedence_over_a_share_code(tiny_model, tiny_digest, script, capsys):
    args = ["play", "--model", str(tiny_model), "--share", shared(tiny_digest)]
    assert main([*args, "--switches", script, "--speaker", "silent", "--seconds", "0.2"]) == 0
    assert "the switches take precedence; the share code has them at 101" in capsys.readouterr().err


def test_the_model_of_a_share_code_is_found_in_the_store(tiny_model, tiny_digest, tmp_path):
    store = ModelStore(tmp_path / "models", reserve_bytes=0)
    store.add(tiny_model)
    args = ["play", "--store", str(store.directory), "--share", shared(tiny_digest)]
    assert main([*args, "--speaker", "wav:x.wav", "--seconds", "0.5"]) == 0
    assert len(samples_of("x.wav")) == RATE // 2


class FrameRecorder:
    """Records the frames passed to inversions, while its block runs."""

    def __enter__(self):
        self._process, self._frames = GriffinLim.process, []
        recorder = self

        def process(inversion, magnitudes):
            recorder._frames.extend(magnitudes.copy())
            return recorder._process(inversion, magnitudes)

        GriffinLim.process = process
        return self

    def __exit__(self, *_):
        GriffinLim.process = self._process

    @property
    def frames(self):
        return np.array(self._frames)


def distance_db(one, other):
    """The distance of two recordings' spectra, without their first 0.25 s."""
    windows = [
        np.lib.stride_tricks.sliding_window_view(samples[RATE // 4 : 2 * RATE], 1024)[::256]
        for samples in (one, other)
    ]
    spectra = [np.abs(np.fft.rfft(window * np.hanning(1024))) for window in windows]
    distance = np.linalg.norm(spectra[0] - spectra[1]) / np.linalg.norm(spectra[1])
    return 20 * np.log10(distance)
