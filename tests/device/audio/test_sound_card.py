"""A sound card on a simulated PortAudio."""

import numpy as np
import pytest

from device.audio.port_audio import Card, list_cards
from device.errors import SpeakerUnavailable
from tests.support.simulated_audio import (
    BLOCK,
    BUILTIN,
    DAC,
    RATE,
    SimulatedClock,
    SimulatedPortAudio,
    play_on,
    tone,
)


def test_the_default_card_plays_the_models_rate_in_mono():
    backend = SimulatedPortAudio(DAC, BUILTIN)
    with play_on(backend) as speaker:
        speaker.write(tone(441))
        assert (speaker.name, speaker.latency_seconds) == (BUILTIN.name, 0.06)
    stream = backend.streams[0]
    assert (stream.card, stream.rate, stream.n_channels) == (BUILTIN, RATE, 1)
    np.testing.assert_array_equal(stream.sound[:, 0], tone(441))
    assert stream.closed


def test_a_card_is_chosen_by_a_part_of_its_name():
    backend = SimulatedPortAudio(BUILTIN, DAC)
    with play_on(backend, "hifiberry") as speaker:
        assert speaker.name == DAC.name


def test_a_card_with_two_channels_gets_the_same_on_both():
    backend = SimulatedPortAudio(BUILTIN, accepted={(RATE, 2), (44_100, 1)})
    with play_on(backend) as speaker:
        speaker.write(tone(441))
    stream = backend.streams[0]
    assert (stream.rate, stream.n_channels) == (RATE, 2)
    np.testing.assert_array_equal(stream.sound, np.stack([tone(441)] * 2, axis=1))


@pytest.mark.parametrize(("accepted", "card_rate"), [((44_100, 1), 44_100), ((48_000, 2), 48_000)])
def test_a_card_that_refuses_the_models_rate_gets_the_same_tone_at_its_own(accepted, card_rate):
    pytest.importorskip("soxr", reason="soxr is not installed")
    backend = SimulatedPortAudio(BUILTIN, accepted={accepted})
    with play_on(backend) as speaker:
        for start in range(0, RATE, 441):
            speaker.write(tone(RATE)[start : start + 441])
        delay = speaker.latency_seconds - 0.06
    stream = backend.streams[0]
    assert (stream.rate, stream.n_channels) == accepted
    assert 0.001 < delay < 0.02
    # All of the sound comes out, evenly, and of the same pitch.
    lengths = [len(block) for block in stream.blocks]
    assert sum(lengths) == pytest.approx(card_rate, abs=8)
    assert max(lengths) - min(lengths) <= 1
    middle = stream.sound[card_rate // 4 : card_rate // 4 + card_rate // 2, 0]
    peak = np.argmax(np.abs(np.fft.rfft(middle * np.hanning(len(middle))))) * 2
    assert peak == pytest.approx(440, abs=2)


def test_underflows_are_counted_but_not_at_the_start():
    backend = SimulatedPortAudio(BUILTIN)
    backend.underflows = [True, False, True, True]
    with play_on(backend) as speaker:
        for _ in range(6):
            speaker.write(BLOCK)
        assert speaker.n_underruns == 2


def test_the_end_of_the_music_is_heard_before_the_card_is_released():
    time = SimulatedClock()
    speaker = play_on(SimulatedPortAudio(BUILTIN), time=time)
    speaker.write(BLOCK)
    speaker.close()
    speaker.close()
    assert time.now == pytest.approx(0.06)


def test_a_card_that_disconnects_is_waited_for_in_real_time_and_reopened():
    backend, time, reports = SimulatedPortAudio(BUILTIN), SimulatedClock(), []
    with play_on(backend, reports=reports, time=time) as speaker:
        speaker.write(BLOCK)
        backend.plugged = []
        for _ in range(250):
            speaker.write(BLOCK)
        assert time.now == pytest.approx(250 * 0.02, abs=0.07)
        assert not speaker.is_there
        assert backend.n_rescans == 4
        # It comes back under another number.
        backend.plugged = [Card(7, BUILTIN.name, 44_100, is_default=True)]
        for _ in range(60):
            speaker.write(BLOCK)
        assert speaker.is_there
    assert [stream.closed for stream in backend.streams] == [True, True]
    assert backend.streams[1].card.index == 7
    assert reports == [
        "the card bcm2835 Headphones is gone (device unavailable); the music goes on unheard",
        "the card bcm2835 Headphones is there",
    ]


@pytest.mark.parametrize("how", ["absent", "busy"])
def test_a_speaker_that_waits_begins_unheard_while_the_card_is_unavailable(how):
    backend, time, reports = SimulatedPortAudio(), SimulatedClock(), []
    backend.plugged, backend.is_busy = ([DAC], True) if how == "busy" else ([], False)
    backend.known = list(backend.plugged)
    with play_on(backend, "hifiberry", reports, time, wait_for_device=True) as speaker:
        assert (speaker.is_there, speaker.name) == (False, "hifiberry")
        for _ in range(150):
            speaker.write(BLOCK)
        assert time.now == pytest.approx(150 * 0.02, abs=0.07)
        assert speaker.n_underruns == 0
        backend.plugged, backend.is_busy = [DAC], False
        for _ in range(60):
            speaker.write(BLOCK)
        assert (speaker.is_there, speaker.name) == (True, DAC.name)
    assert len(reports) == 2
    assert reports[0].endswith("the music goes on unheard until then")
    assert reports[1] == f"the card {DAC.name} is there"
    assert sum(len(stream.sound) for stream in backend.streams) > 0


def test_a_speaker_that_does_not_wait_refuses_at_once():
    with pytest.raises(SpeakerUnavailable):
        play_on(SimulatedPortAudio(), "hifiberry")


def test_a_card_that_is_back_but_busy_is_tried_again():
    backend, time, reports = SimulatedPortAudio(BUILTIN), SimulatedClock(), []
    with play_on(backend, reports=reports, time=time) as speaker:
        speaker.write(BLOCK)
        backend.plugged = []
        speaker.write(BLOCK)
        backend.plugged, backend.is_busy = [BUILTIN], True
        for _ in range(120):
            speaker.write(BLOCK)
        assert not speaker.is_there
        backend.is_busy = False
        for _ in range(60):
            speaker.write(BLOCK)
        assert speaker.is_there
    assert len(reports) == 2


def test_no_other_card_replaces_one_chosen_by_name():
    backend, time = SimulatedPortAudio(BUILTIN, DAC), SimulatedClock()
    with play_on(backend, "hifiberry", time=time) as speaker:
        speaker.write(BLOCK)
        backend.plugged = [BUILTIN]
        for _ in range(120):
            speaker.write(BLOCK)
        assert not speaker.is_there


def test_an_unknown_card_is_refused_with_the_names_of_the_others():
    with pytest.raises(SpeakerUnavailable, match="found 'bcm2835 Headphones', expected one whose"):
        play_on(SimulatedPortAudio(BUILTIN), "nowhere")
    with pytest.raises(SpeakerUnavailable, match="found no card at all, expected a sound card"):
        play_on(SimulatedPortAudio())


def test_a_card_that_cannot_be_opened_is_refused():
    busy = SimulatedPortAudio(BUILTIN)
    busy.is_busy = True
    with pytest.raises(SpeakerUnavailable, match="found device busy, expected a card that opens"):
        play_on(busy)
    with pytest.raises(SpeakerUnavailable, match="found neither 22050 nor 44100 Hz accepted"):
        play_on(SimulatedPortAudio(BUILTIN, accepted=set()))


def test_cards_are_listed_by_name():
    assert list_cards(SimulatedPortAudio(BUILTIN, DAC)) == [BUILTIN.name, DAC.name]
