"""Commands from MIDI, knobs and buttons while the music plays."""

import threading

import numpy as np
import pytest

from device.playback.control import Scene
from device.playback.share_code import SharedPosition
from device.playback.transition import BarTransition, Crossfade
from device.switches import commands
from device.switches.script import ScriptSwitches
from device.synthesis.performance import Performance
from device.synthesis.voice import Voice
from tests.support.speakers import RecordingSpeaker

OFF = (False,) * 3


@pytest.fixture
def play(make_instrument):
    """Plays a second; commands are queued at their block, of 32 in a second."""

    def play(at_block=(), switches=None, **performance):
        states, commands_at = [], dict(at_block)

        def queue(n_blocks):
            for command in commands_at.pop(n_blocks, ()):
                instrument.control.queue.put(command)

        speaker = RecordingSpeaker(queue)
        instrument = make_instrument(
            speaker, switches, listeners=[states.append], tape=0.0, **performance
        )
        instrument.play(1.0)
        return instrument, states, speaker.samples

    return play


def test_an_unused_queue_changes_no_sample(play):
    assert np.array_equal(play()[2], play({5: []})[2])


def test_a_remote_flip_sounds_as_the_flip_of_a_switch(play, make_instrument):
    block_seconds = 8 * 64 / 22050
    flips = ScriptSwitches([(0.0, OFF), (9.5 * block_seconds, (True, False, False))], 3)
    by_hand = play(switches=flips)[2]
    _, states, by_remote = play(
        {10: [commands.FlipSwitch(0, "midi")]}, ScriptSwitches([(0.0, OFF)], 3)
    )
    assert np.array_equal(by_hand, by_remote)
    assert states[-1].holders == {0: "midi"}
    assert states[-1].n_flips == 1


def test_the_tempo_follows_and_later_voices_have_it_too(play, network):
    instrument, states, _ = play({3: [commands.SetTempo(90.0), commands.ChangeTempo(-10.0)]})
    assert states[-1].tempo_bpm == states[-1].fixed_tempo_bpm == 80.0
    assert instrument.voice_of(network).transport.tempo_bpm == 80.0


@pytest.mark.parametrize(("bpm", "limited"), [(1.0, 20.0), (1e9, 400.0)])
def test_the_tempo_stays_in_the_range_of_the_option(play, bpm, limited):
    assert play({3: [commands.SetTempo(bpm)]})[1][-1].tempo_bpm == limited


def test_the_volume_follows_within_its_range(play):
    loud = play({10: [commands.SetVolume(-6.0)]})[2]
    quiet = play({10: [commands.SetVolume(-20.0), commands.ChangeVolume(-1e9)]})[2]
    assert np.abs(quiet[10_000:]).max() < 0.01 * np.abs(loud[10_000:]).max()


def test_shut_down_ends_the_music(play):
    instrument, _, samples = play({10: [commands.ShutDown()]})
    assert instrument.control.is_shut_down
    assert len(samples) < 12 * 8 * 64 + 0.06 * 22050


def test_a_scene_sets_switches_and_tempo_and_asks_for_its_model(play, make_instrument, network):
    position = SharedPosition("abcdef", (True, False, True), 1, 75.0, False, 0)
    asked = []
    speaker = RecordingSpeaker()
    instrument = make_instrument(speaker, ScriptSwitches([(0.0, OFF)], 3))
    instrument.control.scenes = [Scene("chorus", position)]
    instrument.control.play_model = asked.append
    for scene in (-1, 0, 1):
        instrument.control.queue.put(commands.Recall(scene, "scene chorus"))
    states = []
    instrument.listeners.append(states.append)
    instrument.play(0.5)
    assert states[-1].bits == (True, False, True)
    assert states[-1].holders == {0: "scene chorus", 2: "scene chorus"}
    assert states[-1].tempo_bpm == 75.0
    assert asked == ["abcdef"]


def test_a_handler_takes_its_kind_and_its_failure_does_not_end_the_music(make_instrument):
    instrument, taken = make_instrument(RecordingSpeaker()), []
    instrument.control.handlers = {commands.Keep: taken.append, commands.NextModel: lambda _: 1 / 0}
    for command in (commands.NextModel(), commands.Keep(), commands.Keep()):
        instrument.control.queue.put(command)
    assert instrument.play(0.3).seconds == pytest.approx(0.3, abs=1e-3)
    assert taken == [commands.Keep(), commands.Keep()]


@pytest.mark.parametrize("hop_length", [64, 128])
def test_a_voice_that_waits_for_its_bar_has_the_tempo_and_volume_of_now(
    make_instrument, build_model, hop_length
):
    from device.model.network import Network

    instrument = make_instrument(RecordingSpeaker())
    queue, switcher = instrument.control.queue, instrument.voice_switcher
    # Made before the commands, as by the loader, and scheduled after the first of them.
    other = Network.open(build_model(hop_length=hop_length, n_fft=4 * hop_length))
    later = Voice(other, Performance(tape=0.0), after=instrument.voice)
    queue.put(commands.SetTempo(90.0))
    queue.put(commands.SetVolume(-12.0))
    instrument.play(0.3)
    switcher.schedule(later)
    expected = BarTransition if hop_length == 64 else Crossfade
    assert isinstance(switcher._transition, expected)
    assert later.transport.tempo_bpm == 90.0
    queue.put(commands.SetTempo(100.0))
    instrument.stop.clear()
    instrument.play(0.6)
    assert later.transport.tempo_bpm == 100.0
    assert later.vocoder.tape.gain == pytest.approx(10 ** (-12 / 20))
    later.close()


def test_commands_may_come_from_many_threads(make_instrument):
    instrument = make_instrument(RecordingSpeaker(), ScriptSwitches([(0.0, OFF)], 3))
    flip = commands.FlipSwitch(1, "midi")

    def flip_often():
        for _ in range(101):
            instrument.control.queue.put(flip)

    threads = [threading.Thread(target=flip_often) for _ in range(5)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    instrument.play(0.2)
    assert instrument.voice.sounding == (False, True, False)
