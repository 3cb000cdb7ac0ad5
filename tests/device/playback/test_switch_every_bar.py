"""Forty takeovers on forty consecutive bars, with the defaults of `play`.

A bar line falls anywhere in a block, on its first frame too; there the old voice draws no frame.
The sound is compared with its own median level, since a tape hisses.
"""

from itertools import cycle

import numpy as np
import pytest

from device.model.network import Network
from device.playback.voice_switcher import VoiceSwitcher
from device.synthesis.performance import Performance
from device.synthesis.voice import Voice
from tests.support import tiny_model as tiny

N_BARS = 40
BEATS_PER_BAR = 4
# The bundled model's window and hop, at a tempo with short bars.
SHAPE = {"n_fft": 1024, "hop_length": 256, "metadata": {"tempo_bpm": "160.0"}}
OTHER_SHAPE = {"n_fft": 512, "hop_length": 128, "metadata": {"tempo_bpm": "160.0"}}
SWITCHES = (True, False, True)


@pytest.fixture(scope="module")
def networks(tmp_path_factory):
    folder = tmp_path_factory.mktemp("models")
    return {
        name: Network.open(tiny.build(folder / f"{number}.onnx", **sizes))
        for number, (name, sizes) in enumerate(
            [("one", SHAPE), ("same", {**SHAPE, "beats_per_loop": 8}), ("other", OTHER_SHAPE)]
        )
    }


class SwitchingPlayer:
    """Plays one voice after the other, and counts those that began on a block's first frame."""

    def __init__(self, first, performance):
        self.performance = performance
        self.switcher = VoiceSwitcher(Voice(first, performance))
        self.blocks = []
        self.n_first_blocks = 0

    def take_over(self, network, *, at_once=False):
        old = self.switcher.voice
        rate = old.vocoder.sample_rate
        new = Voice(network, self.performance, sample_rate=rate, after=old)
        self.switcher.schedule(new, at_once=at_once)
        while self.switcher.voice is not new or not self.switcher.is_free:
            n_frames = old.n_frames
            self.blocks.append(self.switcher.block(SWITCHES))
            if self.switcher.voice is new:
                self.n_first_blocks += old.n_frames == n_frames
        return new

    def play_to(self, beat):
        while self.switcher.voice.beat < beat:
            self.blocks.append(self.switcher.block(SWITCHES))


@pytest.mark.parametrize(
    ("tape", "successor", "at_once"),
    [
        (Performance().tape, "same", False),
        (1.0, "same", True),
        (Performance().tape, "other", False),
        (1.0, "other", True),
    ],
)
def test_with_a_takeover_in_each_of_forty_bars_the_music_goes_on(
    networks, tape, successor, at_once
):
    player = SwitchingPlayer(networks["one"], Performance(tape=tape))
    for bar, name in zip(range(1, N_BARS + 1), cycle([successor, "one"]), strict=False):
        # Not always in the same place of a bar, so that an immediate takeover falls anywhere.
        player.play_to(BEATS_PER_BAR * (bar - 1) + (bar % 7) / 2)
        new = player.take_over(networks[name], at_once=at_once)
        assert new.beat >= BEATS_PER_BAR * (bar if not at_once else bar - 1)
    samples = np.concatenate(player.blocks)
    assert np.isfinite(samples).all()
    windows = samples[: len(samples) // 441 * 441].reshape(-1, 441)  # 20 ms
    level = np.sqrt(np.mean(windows**2, axis=1))[20:]
    assert level.min() > 0.05 * np.median(level)
    if not at_once and successor == "same":
        # Bar lines on the first frame of a block are among them.
        assert player.n_first_blocks >= 4
