"""The hot swap, from the store to the speaker and back."""

import errno
import os
import threading
import time

import numpy as np
import pytest

from device.audio.speaker import SilentSpeaker
from device.closeable import Closeable
from device.errors import ModelFailed
from device.files import open_regular
from device.model.network import BUNDLED_MODEL, Network
from device.model.summary import read_card
from device.playback.instrument import Instrument
from device.playback.model_loader import ModelLoader
from device.playback.model_selection import open_active_model
from device.playback.model_switcher import ModelSwitcher
from device.store.start_counter import MOST_CRASHES, MOST_STARTS
from device.store.store import ModelStore
from device.switches.base import FixedSwitches
from device.switches.bits import format_bits
from device.switches.script import ScriptSwitches
from device.synthesis.performance import Performance
from device.updates.validation import validate
from tests.support import faulty_models
from tests.support import tiny_model as tiny

RATE = 22050
BLOCK_SECONDS = Performance().block_frames * 64 / RATE
PATIENCE_SECONDS = 20.0
MONITOR_SECONDS = 3.0
OFF, UNRULY = (False,) * 8, faulty_models.UNRULY


def until(condition):
    deadline = time.monotonic() + PATIENCE_SECONDS
    while not condition():
        assert time.monotonic() < deadline, "nothing came of it"
        time.sleep(0.005)


class ProcessorClock:
    """Seconds as this thread works and sleeps, whatever else the machine does meanwhile."""

    def __init__(self):
        self._slept = 0.0

    def __call__(self):
        return time.thread_time() + self._slept

    def sleep(self, seconds):
        self._slept += seconds


class Recorder(SilentSpeaker):
    """Plays in real time, as its thread knows it, and remembers; `cues` are called on the way."""

    def __init__(self, clock):
        super().__init__(RATE, clock=clock, sleep=clock.sleep)
        self.cues = {}
        self._blocks = []
        self._n_samples = 0

    @property
    def samples(self):
        return np.concatenate(self._blocks)

    def write(self, samples):
        super().write(samples)
        self._blocks.append(samples.copy())
        self._n_samples += len(samples)
        for seconds in [s for s in self.cues if s <= self._n_samples / RATE]:
            self.cues.pop(seconds)()


class Box(Closeable):
    """An instrument that plays from a store, with all that belongs to it."""

    def __init__(self, store, switches):
        self.store = store
        self.said = []
        self.shown = []
        clock = ProcessorClock()
        self.speaker = Recorder(clock)
        network = open_active_model(store, self.said.append)
        self.instrument = Instrument(
            network,
            switches,
            self.speaker,
            Performance(),
            ahead=True,
            listeners=[self.shown.append],
            clock=clock,
        )
        self.loader = ModelLoader(
            store,
            self.instrument.voice_of,
            playing=network.digest,
            report=self.said.append,
            poll_seconds=0.005,
        )
        self.model_switcher = ModelSwitcher(
            self.instrument.voice_switcher, self.loader, monitor_seconds=MONITOR_SECONDS
        )
        self.instrument.listeners.append(self.model_switcher)

    def at(self, seconds, *cues):
        self.speaker.cues[seconds] = lambda: [schedule() for schedule in cues]

    def activate(self, digest):
        """Activate a model and wait until the loader has made its voice."""
        self.store.activate(digest)
        until(lambda: not self.loader._ready.empty())

    def settle(self):
        """Wait until the loader has finished its jobs, not only started them."""
        if not self.loader._helper.is_alive:
            return
        done = threading.Event()
        self.loader._jobs.put(done.set)
        assert done.wait(PATIENCE_SECONDS), "nothing came of it"

    def play(self, seconds):
        with self.instrument, self.model_switcher:
            return self.instrument.play(seconds)

    def heard(self):
        """The models in the order in which they were heard."""
        order = []
        for state in self.shown:
            if not order or order[-1] != state.digest:
                order.append(state.digest)
        return order

    def digest_at(self, seconds):
        return next(state.digest for state in self.shown if state.seconds >= seconds)


@pytest.fixture
def store(tmp_path):
    return ModelStore(tmp_path / "models", reserve_bytes=0)


@pytest.fixture
def first(store, tmp_path):
    """The model that plays at the start, active in the store."""
    digest = store.add(tiny.build(tmp_path / "first.onnx", n_switches=8))
    store.activate(digest)
    return digest


@pytest.fixture
def second(store, tmp_path):
    """Another good one of the same shape."""
    return store.add(tiny.build(tmp_path / "second.onnx", n_switches=8, beats_per_loop=8))


@pytest.fixture
def make_box(store, first):
    boxes = []

    def make(switches=None):
        boxes.append(Box(store, switches or FixedSwitches(OFF)))
        return boxes[-1]

    yield make
    for box in boxes:
        box.model_switcher.close()
        box.instrument.close()


@pytest.fixture
def add_faulty(store, tmp_path):
    def add(make):
        path = make(tmp_path / "faulty.onnx")
        assert validate(path).accepted
        return store.add(path)

    return add


def flipping_to_fault_at(seconds):
    return ScriptSwitches([(0.0, OFF), (seconds, UNRULY)], 8)


def longest_gap_ms(samples):
    """Music is never below -40 dB for 5 ms; the hiss of the tape, which goes on, is 20 dB lower."""
    step, n = RATE // 1000, 5 * RATE // 1000
    windows = np.lib.stride_tricks.sliding_window_view(samples, n)[::step]
    rms = np.sqrt((windows**2).mean(axis=1))
    loud = np.flatnonzero(np.r_[1.0, rms, 1.0] > 10 ** (-46 / 20))
    longest = int(np.diff(loud).max()) - 1
    return longest + 5 if longest else 0


def test_what_becomes_active_is_heard_from_the_next_bar_on(make_box, first, second):
    box = make_box()
    box.at(0.5, lambda: box.activate(second))
    report = box.play(4.0)
    assert box.heard() == [first, second]
    # A bar is two seconds long; a snapshot is taken at the end of its block.
    changed_at = next(state.seconds for state in box.shown if state.digest == second)
    assert changed_at == pytest.approx(2.0, abs=2 * BLOCK_SECONDS)
    assert report.underruns == report.missed_deadlines == 0
    assert longest_gap_ms(box.speaker.samples[RATE // 5 : -RATE // 10]) < 5
    assert "'Tiny test model' takes over at the next bar" in box.said


def test_beats_go_on_where_they_were(make_box, second):
    box = make_box()
    box.at(0.5, lambda: box.activate(second))
    box.play(4.0)
    steps = np.diff([state.position for state in box.shown])
    assert steps == pytest.approx(BLOCK_SECONDS * 2, rel=1e-6)


@pytest.mark.parametrize(
    "changes",
    [
        {"n_switches": 3},
        {"n_switches": 12},
        {"n_switches": 8, "sample_rate": 32000, "n_fft": 512, "hop_length": 128},
    ],
)
def test_a_model_of_another_kind_takes_over_as_well(make_box, store, tmp_path, changes, first):
    other = store.add(tiny.build(tmp_path / "other.onnx", **changes))
    box = make_box(FixedSwitches((True, False) * 4))
    box.at(0.5, lambda: box.activate(other))
    report = box.play(4.0)
    assert box.heard() == [first, other]
    assert len(box.shown[-1].bits) == changes["n_switches"]
    assert report.seconds == pytest.approx(4.0, abs=1 / RATE)
    assert (report.underruns, report.n_flips) == (0, 0)
    assert longest_gap_ms(box.speaker.samples[RATE // 5 : -RATE // 10]) < 5
    warned = [line for line in box.said if "switches, the model" in line]
    assert bool(warned) == (changes["n_switches"] != 8)


def test_nothing_active_any_more_is_the_bundled_model(make_box, store, first):
    box = make_box()
    box.at(0.5, lambda: box.activate(None))
    box.play(4.5)
    assert box.shown[-1].title == read_card(BUNDLED_MODEL).title
    assert store.models()[0].refused is None


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (
            faulty_models.nan_in_one_state,
            f"frames not finite with switches {format_bits(UNRULY)}",
        ),
        (faulty_models.failing_in_one_state, "indices element out of data bounds"),
        (faulty_models.slow_in_one_state, "underruns with switches"),
    ],
    ids=["NaN", "failing", "slow"],
)
def test_a_model_that_passed_and_then_has_a_fault_in_one_state_is_rolled_back(
    make_box, store, first, add_faulty, make, words
):
    bad = add_faulty(make)
    box = make_box(flipping_to_fault_at(3.0))
    box.at(0.5, lambda: box.activate(bad))
    box.play(6.0)
    box.settle()
    assert box.heard() == [first, bad, first]
    assert box.digest_at(2.9) == bad
    assert words in store.refusal(bad)
    assert store.active() == store.path(first)
    samples = box.speaker.samples
    assert np.isfinite(samples).all()
    # The first model plays the state that the other could not.
    assert longest_gap_ms(samples[5 * RATE : -RATE // 10]) < 5


def test_what_gives_no_numbers_is_not_waited_for(make_box, first, add_faulty):
    bad = add_faulty(faulty_models.nan_in_one_state)
    box = make_box(flipping_to_fault_at(2.5))
    box.at(0.5, lambda: box.activate(bad))
    box.play(4.0)
    back_at = next(s.seconds for s in box.shown if s.digest == first and s.seconds > 2.5)
    assert back_at == pytest.approx(2.5, abs=6 * BLOCK_SECONDS)
    assert longest_gap_ms(box.speaker.samples[RATE // 5 : -RATE // 10]) < 60


def test_a_model_with_a_fault_in_its_prefetched_frames_is_never_heard(
    make_box, store, first, add_faulty
):
    bad = add_faulty(faulty_models.nan_in_one_state)
    box = make_box(FixedSwitches(UNRULY))

    def activate():
        store.activate(bad)
        until(lambda: store.refusal(bad))

    box.at(0.5, activate)
    box.play(4.0)
    assert box.heard() == [first]
    assert "not finite" in store.refusal(bad)


def test_after_the_monitor_a_model_is_trusted(make_box, store, second, first):
    box = make_box()
    box.at(0.5, lambda: box.activate(second))
    box.at(2.5, box.settle)
    box.at(2.6, lambda: started.append(store._starts.n_starts_of(second)))
    box.at(2.0 + MONITOR_SECONDS + 0.1, box.settle)
    box.at(2.0 + MONITOR_SECONDS + 0.2, lambda: started.append(store._starts.n_starts_of(second)))
    started = []
    box.play(5.5)
    assert started[0] > 0
    assert started[1] == 0


def test_a_file_that_does_not_open_is_refused_and_the_music_goes_on(
    make_box, store, first, tmp_path
):
    path = tmp_path / "bad.onnx"
    path.write_bytes(b"not a model" * 100)
    bad = store.add(path)
    box = make_box()

    def activate():
        store.activate(bad)
        until(lambda: store.refusal(bad))

    box.at(0.5, activate)
    box.play(3.0)
    assert box.heard() == [first]
    assert store.active() == store.path(first)


def test_of_two_models_in_one_bar_the_last_one_is_heard(make_box, store, first, second, tmp_path):
    third = store.add(tiny.build(tmp_path / "third.onnx", n_switches=4))
    box = make_box()
    box.at(0.3, lambda: box.activate(second))
    box.at(0.8, lambda: box.activate(third))
    box.play(3.0)
    assert box.heard() == [first, third]


def test_no_thread_and_no_voice_stays_behind(make_box, second):
    box = make_box()
    box.at(0.5, lambda: box.activate(second))
    box.play(3.0)
    until(lambda: not {"loader", "scores"} & {thread.name for thread in threading.enumerate()})


def test_a_model_that_fails_where_nothing_can_follow_ends_the_music_with_its_name(
    make_box, store, add_faulty
):
    store.activate(add_faulty(faulty_models.failing_in_one_state))
    box = make_box(flipping_to_fault_at(0.5))
    with pytest.raises(ModelFailed, match="indices element out of data bounds"):
        box.play(2.0)
    # That was a crash, and is counted as one.
    assert store._starts.n_starts_of(store.active().stem) == 1


def test_a_model_that_crashes_the_box_twice_at_the_start_does_not_get_a_third_time(
    make_box, store, first, add_faulty
):
    bad = add_faulty(faulty_models.failing_in_one_state)
    store.activate(bad)
    for _ in range(MOST_STARTS):
        box = make_box(FixedSwitches(UNRULY))
        with pytest.raises(ModelFailed):
            box.play(1.0)
    box = make_box(FixedSwitches(UNRULY))
    box.play(1.0)
    assert box.heard() == [first]
    assert "crashed" in store.refusal(bad)


def test_to_be_told_to_stop_is_no_crash_however_often(make_box, store, first):
    for _ in range(MOST_STARTS + 1):
        make_box().play(0.2)
    assert store.active() == store.path(first)


def test_what_does_not_open_at_the_start_is_skipped_down_to_the_bundled(store, first, tmp_path):
    for n in range(2):
        path = tmp_path / "bad.onnx"
        path.write_bytes(b"not a model" * (100 + n))
        store.activate(store.add(path))
    said = []
    network = open_active_model(store, said.append)
    assert network.card.title == read_card(BUNDLED_MODEL).title
    assert len(said) == 2


@pytest.fixture
def unreadable(monkeypatch):
    """Files that give errors of the disk as long as they are in this set."""
    paths = set()

    def opened(path, **options):
        if path in paths:
            raise OSError(errno.EIO, os.strerror(errno.EIO), str(path))
        return open_regular(path, **options)

    monkeypatch.setattr("device.store.reader.open_regular", opened)
    monkeypatch.setattr("device.model.network.open_regular", opened)
    return paths


def test_what_cannot_be_read_at_the_start_waits_while_the_one_before_plays(
    make_box, store, first, second, unreadable, monkeypatch
):
    monkeypatch.setattr("device.playback.model_loader.RETRY_SECONDS", 0.01)
    store.activate(second)
    unreadable.add(store.path(second))
    box = make_box()
    assert store.active() == store.path(second)
    assert store.refusal(second) is None

    def readable():
        unreadable.clear()
        until(lambda: not box.loader._ready.empty())

    box.at(0.5, readable)
    box.play(3.0)
    assert box.heard() == [first, second]
    said = [line for line in box.said if "is left aside" in line]
    # Once at the start, and once by the loader, however often it tries.
    assert len(said) == 2
    assert all("Input/output error" in line for line in said)


def test_what_cannot_be_read_is_not_refused_and_the_music_goes_on(
    make_box, store, first, second, unreadable
):
    box = make_box()
    unreadable.add(store.path(second))

    def activate():
        # As another program does, for which it can be read.
        store._set_link("active", store.path(second))
        until(lambda: any("is left aside" in line for line in box.said))

    box.at(0.5, activate)
    box.play(2.0)
    box.settle()
    assert box.heard() == [first]
    assert store.refusal(second) is None
    assert store.active() == store.path(second)


@pytest.mark.parametrize("playing", [False, True])
def test_a_model_that_has_rotted_is_taken_out_and_not_refused(
    make_box, store, first, second, playing
):
    content = store.path(second).read_bytes()

    def rot():
        # In this order, or the loader may open the model before it rots.
        store.path(second).write_bytes(content[:-1] + b"?")
        store._set_link("previous", store.path(first))
        store._set_link("active", store.path(second))

    if not playing:
        rot()
    box = make_box()
    if playing:
        box.at(0.5, lambda: (rot(), until(lambda: store.active() == store.path(first))))
    box.play(1.0)
    assert box.heard() == [first]
    assert store.refusal(second) is None
    assert not store.path(second).exists()


def test_an_hour_of_music_forgives_a_model_its_crashes_and_ten_seconds_do_not(
    make_box, store, first, monkeypatch
):
    for _ in range(MOST_CRASHES - 1):
        store.record_start_attempt()
        store.confirm_running()
    monkeypatch.setattr("device.playback.model_switcher.START_SECONDS", 0.3)
    monkeypatch.setattr("device.playback.model_switcher.LONG_SECONDS", 1.2)
    box = make_box()
    found = []
    for seconds in (0.8, 1.7):
        box.at(seconds, box.settle, lambda: found.append(store._starts._mark(first)["n_crashes"]))
    box.play(2.0)
    box.settle()
    assert found == [MOST_CRASHES - 1, 0]
    assert not (store.directory / "starts.json").exists()


def test_without_a_store_on_the_disk_the_bundled_model_plays(tmp_path):
    store = ModelStore(tmp_path / "none")
    assert isinstance(open_active_model(store, print), Network)
