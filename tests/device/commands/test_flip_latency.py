"""The moment at which a flip is heard, found in the samples that a card was given."""

import numpy as np
import pytest

from device.commands.flip_latency import RandomFlips, RecordingCard, _find_flips, measure_flips
from device.model.bundled import BUNDLED_MODEL
from device.model.network import Network
from device.synthesis.performance import Performance

RATE = 22_050
HERTZ = [900.0, 3_600.0]
BLOCK = 512  # of the card, which plays twice as many samples a second


def card_with_tones(changes_at, n_seconds=2.0, starts_at=100.0):
    """A card that was given the other tone from each of these moments on, without a gap."""
    card = RecordingCard(RATE)
    seconds = np.arange(0, n_seconds, 1 / card.sample_rate)
    which = np.searchsorted(changes_at, seconds, side="right") % 2
    sound = 0.2 * np.sin(2 * np.pi * np.array(HERTZ)[which] * seconds)
    for begin in range(0, len(sound), BLOCK):
        card.sound.append(sound[begin : begin + BLOCK].astype(np.float32))
        card.played_at.append(starts_at + begin / card.sample_rate)
        # Every block is written 20 ms before it plays.
        card.written_at.append(card.played_at[-1] - 0.020)
    return card


def test_a_change_of_tone_is_found_where_it_is():
    changes_at = [0.5, 1.1, 1.7]
    switches = RandomFlips(8, n_flips=3, seed=1)
    switches.flipped_at = [100.46, 101.05, 101.64]
    switches.read_at = [100.47, 101.06, 101.65]
    latency = _find_flips(card_with_tones(changes_at), switches, HERTZ)
    assert latency.read == pytest.approx([10.0] * 3)
    assert latency.half == pytest.approx([40.0, 50.0, 60.0], abs=1.0)
    assert all(latency.ninety_percent - latency.half >= 0)
    assert latency.ninety_percent == pytest.approx([40.0, 50.0, 60.0], abs=2.5)
    # The first block that was written after the reading plays 20 ms later, or up to a block.
    block_ms = 1e3 * BLOCK / (2 * RATE)
    assert all((latency.first >= 30.0) & (latency.first <= 30.0 + block_ms))


def test_every_flip_is_found_in_what_an_instrument_plays():
    network = Network.open(BUNDLED_MODEL)
    latency = measure_flips(network, Performance(), n_flips=4, seed=3)
    assert len(latency.half) == 4
    assert (latency.read >= 0).all()
    assert (latency.read < latency.first).all()
    assert (latency.first < latency.half).all()
    assert (latency.half < latency.ninety_percent).all()
    # Inversion and glide alone take 23 ms until half, and the doubler one.
    assert latency.half - latency.first == pytest.approx([25.0] * 4, abs=3.0)
    figures = latency.figures()
    assert figures["n_timed_flips"] == 4
    assert figures["flip_to_heard_p50_ms"] <= figures["flip_to_heard_p99_ms"]
