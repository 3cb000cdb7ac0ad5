"""Frames read one at a time from those drawn already, and the glide from score to score."""

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from device.model.network import Network
from device.playback.voice_switcher import VoiceSwitcher
from device.synthesis.performance import Performance
from device.synthesis.transport import Quantize
from device.synthesis.voice import Voice
from tests.support import tiny_model as tiny

OFF, FIRST, ALL = (False,) * 3, (True, False, False), (True,) * 3
HOP, RATE = 64, 22050
# A pass of the loop is 69 frames, so that a few hundred frames have some turns in them.
FAST_TEMPO = 1200.0
STEP_FRAMES = 16

states = st.tuples(*[st.booleans()] * 3)
events = st.lists(
    st.one_of(
        st.tuples(st.just("play"), st.integers(1, 6)),
        st.tuples(st.just("flip"), states),
        st.tuples(st.just("seek"), st.floats(0, 40)),
    ),
    min_size=1,
    max_size=14,
)
some = settings(max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture])
a_few = settings(some, max_examples=6)


class FastFrames:
    """Counts the frames of a voice that were read the fast way."""

    def __init__(self, voice):
        self.n = 0
        self._next_frame = voice._spectrogram.next_frame
        voice._spectrogram.next_frame = self

    def __call__(self, bits):
        frame = self._next_frame(bits)
        self.n += frame is not None
        return frame


def played(network, happenings, **performance):
    """The samples of a voice to which all this happens, and how many frames were read fast."""
    voice = Voice(network, Performance(tempo_bpm=FAST_TEMPO, **performance))
    fast = FastFrames(voice)
    bits, blocks = OFF, [voice.block(OFF) for _ in range(STEP_FRAMES // voice.block_frames)]
    for what, value in happenings:
        if what == "flip":
            bits = value
        elif what == "seek":
            voice.seek(value)
        n_steps = value if what == "play" else 1
        n_blocks = n_steps * STEP_FRAMES // voice.block_frames
        blocks.extend(voice.block(bits) for _ in range(n_blocks))
    return np.concatenate(blocks), fast.n


@some
@given(
    happenings=events,
    block_frames=st.sampled_from([2, 8, 16]),
    quantize=st.sampled_from(Quantize),
    still=st.booleans(),
    journey=st.booleans(),
    glide_frames=st.integers(0, 3),
)
def test_frames_read_one_at_a_time_are_the_music_of_larger_blocks(
    network, happenings, block_frames, quantize, still, journey, glide_frames
):
    options = {"quantize": quantize, "still": still, "journey": journey}
    options["glide_frames"] = glide_frames
    one, _ = played(network, happenings, block_frames=1, **options)
    other, n_fast = played(network, happenings, block_frames=block_frames, **options)
    assert one.tobytes() == other.tobytes()
    assert n_fast == 0


def test_most_frames_are_read_the_fast_way(network):
    happenings = [("play", 30), ("flip", ALL), ("play", 30), ("seek", 17.0), ("play", 30)]
    samples, n_fast = played(network, happenings, block_frames=1)
    # Of each chunk one frame is not, and few of those at a flip or at a turn of the loop.
    assert n_fast > 0.8 * len(samples) / HOP


@pytest.fixture(scope="module")
def second(tmp_path_factory):
    return Network.open(tiny.build(tmp_path_factory.mktemp("second") / "s.onnx", beats_per_loop=8))


@pytest.mark.parametrize("quantize", Quantize)
@pytest.mark.parametrize("at_once", [False, True])
@a_few
@given(flips=st.lists(states, min_size=30, max_size=30), taken_over_at=st.integers(1, 12))
def test_a_takeover_between_flips_is_the_same_frame_by_frame(
    network, second, quantize, at_once, flips, taken_over_at
):
    def taken_over(block_frames):
        performance = Performance(
            block_frames=block_frames, tempo_bpm=FAST_TEMPO, quantize=quantize
        )
        old = Voice(network, performance)
        new = Voice(second, performance, after=old)
        switcher, blocks, n_samples = VoiceSwitcher(old), [], 0
        for n, bits in enumerate(flips):
            if n == taken_over_at:
                switcher.schedule(new, at_once=at_once)
            # A takeover may cut a block short: the others still end where they should.
            while n_samples < (n + 1) * STEP_FRAMES * HOP:
                blocks.append(switcher.block(bits))
                n_samples += len(blocks[-1])
        assert switcher.voice is new
        return np.concatenate(blocks)

    assert taken_over(1).tobytes() == taken_over(STEP_FRAMES).tobytes()


def test_a_flip_has_one_frame_of_glide_between_two_scores(network):
    voice, old, new = (Voice(network, Performance(tape=0.0)) for _ in range(3))
    magnitudes = {}
    for name, played_voice in (("flipped", voice), ("old", old), ("new", new)):
        kept = magnitudes[name] = []
        process = played_voice.vocoder.process
        played_voice.vocoder.process = lambda frames, kept=kept, process=process: (
            kept.append(frames.copy()) or process(frames)
        )
        played_voice.vocoder.inversion.revise = lambda frames, kept=kept: kept.extend(
            frames[:, np.newaxis].copy()
        )
    for _ in range(40):
        voice.block(OFF)
        old.block(OFF)
        new.block(ALL)
    voice.block(ALL)
    old_frames, new_frames = (np.concatenate(magnitudes[n]) for n in ("old", "new"))
    # What was drawn at the flip: the open frames, and the next one.
    n_open = voice.vocoder.inversion.look_ahead
    flipped = np.concatenate(magnitudes["flipped"])[40 : 40 + n_open]
    first = 40 - n_open
    middle = old_frames[first - 1] + new_frames[first]
    assert flipped[0] == pytest.approx(middle / 2, abs=1e-5)
    assert np.array_equal(flipped[1:], new_frames[first + 1 : 40])
