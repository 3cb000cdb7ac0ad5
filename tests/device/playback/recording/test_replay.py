"""From its log a performance is rendered bit for bit, whatever happened while it played."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from device.audio.wav_file import to_pcm
from device.errors import PerformanceError
from device.model.network import Network
from device.playback.evening.state import EveningSettings
from device.playback.recording.events import (
    Fade,
    Flip,
    Quality,
    Rest,
    Setting,
    Takeover,
    to_line,
)
from device.playback.recording.replay import Replay, read_log
from device.switches.commands import SetQuiet, Sleep, Wake, Wander
from device.synthesis.performance import Performance
from device.synthesis.transport import Quantize
from tests.support import tiny_model as tiny
from tests.support.recorded_playing import Happenings, play_recorded, rendered

SHAPES = {
    "first": {},
    "same": {"beats_per_loop": 8},
    "more switches": {"n_switches": 5},
    "other hop": {"n_fft": 512, "hop_length": 128, "n_switches": 2},
    "other rate": {"sample_rate": 16000},
}
MOST_ITERATIONS = 1
N_BLOCKS = 1500


@pytest.fixture(scope="module")
def networks(tmp_path_factory):
    """Their bars are a second long, or less."""
    folder = tmp_path_factory.mktemp("models")
    return {
        name: Network.open(
            tiny.build(folder / f"{number}.onnx", metadata={"tempo_bpm": "300.0"}, **sizes)
        )
        for number, (name, sizes) in enumerate(SHAPES.items())
    }


bits = st.tuples(*[st.booleans()] * 3)
action = st.one_of(
    st.tuples(st.just("make"), st.sampled_from(sorted(SHAPES))),
    st.tuples(st.sampled_from(["take_over", "take_over", "take_back"]), st.booleans()),
    st.tuples(st.just("tempo"), st.floats(60, 400)),
    st.tuples(st.just("volume"), st.floats(-60, 12)),
    st.tuples(
        st.just("quality"), st.tuples(st.integers(0, MOST_ITERATIONS), st.sampled_from([1, 2]))
    ),
    st.tuples(
        st.just("command"),
        st.one_of(
            st.sampled_from([Wake(), SetQuiet(True), SetQuiet(False), Wander()]),
            st.builds(Sleep, st.sampled_from([0.0, 0.002, 0.01])),
        ),
    ),
    st.tuples(st.just("keep"), st.none()),
)
# Of a performance of 4 s: a minute is too long.
evenings = st.builds(
    EveningSettings,
    sleep_minutes=st.sampled_from([None, None, 0.02]),
    sleep_fade_minutes=st.sampled_from([0.0, 0.005]),
    wake_fade_minutes=st.sampled_from([0.0, 0.005]),
    wake_minutes=st.sampled_from([None, 0.005]),
    quiet_db=st.sampled_from([-20.0, -60.0]),
    wander_minutes=st.sampled_from([None, 0.0, 0.01]),
    wander_bars=st.integers(1, 2),
)
by_call = st.dictionaries(st.integers(0, 60), st.lists(action, min_size=1, max_size=3), max_size=40)
performances = st.builds(
    Performance,
    seed=st.integers(0, 5),
    quantize=st.sampled_from(list(Quantize)),
    glide_frames=st.integers(0, 3),
    still=st.booleans(),
    journey=st.booleans(),
    tape=st.sampled_from([0.0, 0.25]),
    tempo_bpm=st.sampled_from([None, 240.0]),
    block_frames=st.sampled_from([1, 1, 3]),
    start_beat=st.sampled_from([0.0, 13.25]),
)


@settings(
    max_examples=40,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(
    performance=performances,
    changes=st.dictionaries(st.integers(0, N_BLOCKS), bits, max_size=30),
    happenings=by_call,
    n_reads=st.integers(1, N_BLOCKS),
    ahead=st.booleans(),
    slow=st.booleans(),
    evening=evenings,
)
def test_any_performance_is_rendered_bit_for_bit(
    networks, tmp_path_factory, performance, changes, happenings, n_reads, ahead, slow, evening
):
    folder = tmp_path_factory.mktemp("logs")
    with pytest.MonkeyPatch.context() as patch:
        # Flips wait for the helper's score as long as that takes here.
        patch.setattr("device.synthesis.score_cache.SLOW_SECONDS", -1.0 if slow else 1e9)
        played, ring = play_recorded(
            networks["first"], performance, folder / "log.jsonl", Happenings(networks, happenings),
            changes=changes, n_reads=n_reads, ahead=ahead, evening=evening,
        )  # fmt: skip
    samples = rendered(folder / "log.jsonl", networks)
    assert samples.tobytes() == played.tobytes()
    assert ring.settle() == len(played)
    assert ring.read(0, len(played)).tobytes() == to_pcm(played).tobytes()


@pytest.fixture
def evening(networks, tmp_path):
    """A performance with a takeover of each kind, one taken back, and a rest that a hand ends."""
    happenings = Happenings(
        networks,
        {
            2: [("make", "same"), ("take_over", False)],
            14: [("quality", (0, 2))],
            30: [("make", "other rate"), ("take_over", False)],
            40: [("tempo", 250.5), ("volume", -7.25)],
            60: [("take_back", True)],
            70: [("quality", (1, 1)), ("make", "more switches"), ("take_over", True)],
            73: [("command", Sleep(0.0005))],
            76: [("keep", None)],
        },
    )
    changes = {n: tuple(bool(n // 50 >> i & 1) for i in range(3)) for n in range(0, N_BLOCKS, 50)}
    played, _ = play_recorded(
        networks["first"], Performance(), tmp_path / "evening.jsonl", happenings,
        changes=changes, n_reads=N_BLOCKS, ahead=True,
    )  # fmt: skip
    assert happenings.n_takeovers == 4
    return tmp_path / "evening.jsonl", played


def test_the_log_has_every_kind_of_event_and_gives_the_samples(evening, networks):
    path, played = evening
    kinds = {type(event) for event in read_log(path).events}
    assert kinds == {Flip, Takeover, Setting, Fade, Rest, Quality}
    assert rendered(path, networks).tobytes() == played.tobytes()


def test_without_a_switch_it_sounds_as_if_that_one_had_never_been_flipped(networks, tmp_path):
    def played(name, mask):
        changes = {
            n: tuple(bool(n // 50 >> i & 1) and i != mask for i in range(3))
            for n in range(0, 800, 50)
        }
        samples, _ = play_recorded(
            networks["first"], Performance(), tmp_path / name, Happenings(networks, {}),
            changes=changes, n_reads=800, ahead=False,
        )  # fmt: skip
        return samples

    every, without = played("all.jsonl", None), played("without.jsonl", 1)
    assert not np.array_equal(every, without)
    assert rendered(tmp_path / "all.jsonl", networks, without=[2]).tobytes() == without.tobytes()
    with pytest.raises(PerformanceError, match="found 4, expected a switch of 1 to 3"):
        rendered(tmp_path / "all.jsonl", networks, without=[4])


def test_after_a_cut_the_music_is_the_same_up_to_there_and_goes_on(evening, networks):
    path, played = evening
    content = path.read_bytes()
    path.write_bytes(content[: len(content) - 60])  # within the last lines
    log = read_log(path)
    assert log.end is None
    by_digest = {network.digest: network for network in networks.values()}
    n_samples, blocks = 0, []
    for block in Replay(log, lambda digest, _: by_digest[digest]).blocks():
        blocks.append(block)
        n_samples += len(block)
        if n_samples > len(played):
            break
    same = log.n_samples
    assert same > 0.9 * len(played)
    assert np.concatenate(blocks)[:same].tobytes() == played[:same].tobytes()


def changed(path, kind, **fields):
    """The log, with other values in the first event of a kind."""
    log = read_log(path)
    index = next(i for i, event in enumerate(log.events) if isinstance(event, kind))
    events = list(log.events)
    events[index] = replace(events[index], **fields)
    assert log.end is not None
    path.write_bytes(b"".join(map(to_line, [log.header, *events, log.end])))


@pytest.mark.parametrize(
    ("kind", "fields", "message"),
    [
        (Takeover, {"vocoder": 3}, "vocoder of voice 3"),
        (Takeover, {"voice": 9, "vocoder": 2}, "vocoder of voice 2"),
        (Quality, {"iterations": 1000}, "found 1000 iterations"),
        (Quality, {"held_frames": 3}, "held for 3 hops"),
        (Fade, {"level": 1.5}, "found the level 1.5, expected 0 to 1"),
        (Flip, {"bits": "01"}, "expected 3 characters"),
    ],
)
def test_a_log_that_does_not_fit_is_refused(evening, networks, kind, fields, message):
    path, _ = evening
    changed(path, kind, **fields)
    with pytest.raises(ValueError, match=message):
        rendered(path, networks)


def test_a_flip_of_a_frame_that_has_passed_is_refused(evening, networks):
    path, _ = evening
    log = read_log(path)
    events = [replace(e, frame=0) if isinstance(e, Flip) and e.frame else e for e in log.events]
    path.write_bytes(b"".join(map(to_line, [log.header, *events])))
    with pytest.raises(PerformanceError, match="does not fit the music"):
        rendered(path, networks)
