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

HOP = np.zeros(256, np.float32)  # 11.6 ms


def sound_after_the_first_silence(stream):
    """What was written to a card after the 12 ms of silence with which it begins."""
    n_silent = round(0.012 * stream.rate)
    assert not stream.sound[:n_silent].any()
    return stream.sound[n_silent:]


def play_blocks(speaker, guard, n_blocks):
    for _ in range(n_blocks):
        speaker.wait(guard)
        speaker.write(HOP)


def test_the_default_card_plays_the_models_rate_in_mono():
    backend = SimulatedPortAudio(DAC, BUILTIN)
    with play_on(backend) as speaker:
        speaker.write(tone(441))
        assert (speaker.name, speaker.is_live) == (BUILTIN.name, True)
    stream = backend.streams[0]
    assert (stream.card, stream.rate, stream.n_channels) == (BUILTIN, RATE, 1)
    np.testing.assert_array_equal(sound_after_the_first_silence(stream)[:, 0], tone(441))
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
    np.testing.assert_array_equal(
        sound_after_the_first_silence(stream), np.stack([tone(441)] * 2, axis=1)
    )


@pytest.mark.parametrize(("accepted", "card_rate"), [((44_100, 1), 44_100), ((48_000, 2), 48_000)])
def test_a_card_that_refuses_the_models_rate_gets_the_same_tone_at_its_own(accepted, card_rate):
    pytest.importorskip("soxr", reason="soxr is not installed")
    backend = SimulatedPortAudio(BUILTIN, accepted={accepted})
    with play_on(backend) as speaker:
        for start in range(0, RATE, 441):
            speaker.write(tone(RATE)[start : start + 441])
        delay = speaker.latency_seconds - speaker.queued_seconds
    stream = backend.streams[0]
    assert (stream.rate, stream.n_channels) == accepted
    assert 0.001 < delay < 0.02
    # All of the sound comes out, evenly, and of the same pitch.
    first_silence, *blocks = stream.blocks
    lengths = [len(block) for block in blocks]
    assert sum(lengths) == pytest.approx(card_rate, abs=8)
    assert max(lengths) - min(lengths) <= 1
    assert len(first_silence) == round(0.012 * card_rate)
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
    # The first silence and the block.
    assert time.now == pytest.approx(0.012 + 0.02, abs=1e-4)


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


def test_the_latency_of_a_card_is_what_it_has_queued():
    backend, time = SimulatedPortAudio(BUILTIN), SimulatedClock()
    with play_on(backend, time=time) as speaker:
        assert (speaker.queued_seconds, speaker.latency_seconds) == (0, 0)
        speaker.write(HOP[:200])
        assert speaker.queued_seconds == pytest.approx(0.012 + 200 / RATE, abs=1e-4)
        time.now += 0.005
        assert speaker.queued_seconds == pytest.approx(0.007 + 200 / RATE, abs=1e-4)
        assert speaker.latency_seconds == speaker.queued_seconds
        time.now += 1.0
        assert speaker.latency_seconds == 0


def test_the_latency_of_a_card_with_twice_the_rate_has_the_delay_of_the_doubler():
    backend = SimulatedPortAudio(BUILTIN, accepted={(2 * RATE, 1)})
    with play_on(backend) as speaker:
        speaker.write(HOP)
        assert speaker.latency_seconds - speaker.queued_seconds == pytest.approx(47 / (2 * RATE))


def test_a_card_with_twice_the_models_rate_is_preferred_to_its_default_rate():
    backend = SimulatedPortAudio(DAC, accepted={(2 * RATE, 2), (48_000, 1), (48_000, 2)})
    with play_on(backend, "hifiberry") as speaker:
        speaker.write(HOP)
    assert (backend.streams[0].rate, backend.streams[0].n_channels) == (2 * RATE, 2)


def test_the_card_is_started_by_the_first_block_and_not_before():
    backend, time = SimulatedPortAudio(BUILTIN), SimulatedClock()
    with play_on(backend, time=time) as speaker:
        time.now += 1.0
        assert speaker.wait(0.012) == 0
        speaker.write(HOP[:0])
        assert not backend.streams[0].started
        speaker.write(HOP)
        assert backend.streams[0].started


@pytest.mark.parametrize(("making_seconds", "n_underruns"), [(0.023, 0), (0.025, 1)])
def test_the_first_silence_plays_while_the_second_block_is_made(making_seconds, n_underruns):
    time = SimulatedClock()
    with play_on(SimulatedPortAudio(BUILTIN), time=time) as speaker:
        speaker.write(HOP)
        time.now += making_seconds
        speaker.write(HOP)
        assert speaker.n_underruns == n_underruns


def test_a_card_that_ran_dry_is_one_underrun_and_goes_on_with_what_is_written_then():
    time = SimulatedClock()
    with play_on(SimulatedPortAudio(BUILTIN), time=time) as speaker:
        play_blocks(speaker, 0.012, 10)
        assert speaker.n_underruns == 0
        time.now += 1.0
        speaker.write(HOP)
        assert speaker.queued_seconds == pytest.approx(len(HOP) / RATE)
        play_blocks(speaker, 0.012, 10)
        assert speaker.n_underruns == 1


def test_waiting_for_a_card_ends_when_no_more_than_the_guard_is_queued():
    backend, time = SimulatedPortAudio(BUILTIN), SimulatedClock()
    with play_on(backend, time=time) as speaker:
        for _ in range(100):
            speaker.write(HOP)
            assert speaker.wait(0.012) == pytest.approx(0)
            assert backend.streams[0].buffer.queued_seconds == pytest.approx(0.012, abs=1e-4)
        before = time.now
        assert speaker.wait(0.02) == 0
        assert time.now == before


@pytest.mark.parametrize(("overslept", "late"), [(0.003, 0.003), (0.5, 0.012)])
def test_waiting_for_a_card_returns_by_how_much_less_than_the_guard_was_left(overslept, late):
    time = SimulatedClock()
    with play_on(SimulatedPortAudio(BUILTIN), time=time) as speaker:
        speaker.write(HOP)
        time.overslept = overslept
        assert speaker.wait(0.012) == pytest.approx(late, abs=1e-4)
        time.overslept = 0.0


def test_waiting_for_a_card_that_is_away_keeps_real_time():
    backend, time = SimulatedPortAudio(BUILTIN), SimulatedClock()
    with play_on(backend, time=time) as speaker:
        play_blocks(speaker, 0.012, 1)
        backend.plugged = []
        play_blocks(speaker, 0.012, 100)
        assert not speaker.is_there
        assert speaker.queued_seconds == pytest.approx(0.012 + len(HOP) / RATE)
        assert time.now == pytest.approx(101 * len(HOP) / RATE, abs=0.07)
        time.overslept = 0.004
        assert speaker.wait(0.012) == pytest.approx(0.004)


def test_the_buffer_is_enlarged_while_the_guard_and_a_block_do_not_fit_and_not_beyond_60_ms():
    backend, time, reports = SimulatedPortAudio(BUILTIN), SimulatedClock(), []
    with play_on(backend, reports=reports, time=time) as speaker:
        opened = []
        for guard in (0.012, 0.020, 0.028, 0.035, 0.048, 0.060):
            play_blocks(speaker, guard, 20)
            opened.append([stream.latency for stream in backend.streams])
        assert [stream.closed for stream in backend.streams] == [True, True, False]
    assert opened[0] == [0.024]
    assert opened[1] == opened[2] == [0.024, 0.040]
    assert opened[3] == opened[4] == opened[5] == [0.024, 0.040, 0.060]
    assert speaker.n_underruns == 0
    assert reports == [
        "the card bcm2835 Headphones needs a buffer of 40 ms from now on",
        "the card bcm2835 Headphones needs a buffer of 60 ms from now on",
    ]


def test_a_buffer_that_is_longer_than_requested_is_not_enlarged_while_all_fits():
    backend = SimulatedPortAudio(BUILTIN)
    backend.least_seconds = 0.050
    with play_on(backend) as speaker:
        play_blocks(speaker, 0.035, 20)
        assert len(backend.streams) == 1


def test_the_buffer_stays_enlarged_when_the_guard_is_small_again():
    backend, time = SimulatedPortAudio(BUILTIN), SimulatedClock()
    with play_on(backend, time=time) as speaker:
        for guard in (0.012, 0.020, 0.012):
            play_blocks(speaker, guard, 20)
        backend.plugged = []
        play_blocks(speaker, 0.012, 20)
        backend.plugged = [BUILTIN]
        play_blocks(speaker, 0.012, 200)
        assert speaker.is_there
    assert [stream.latency for stream in backend.streams] == [0.024, 0.040, 0.040]


@pytest.mark.parametrize("how", ["absent", "busy"])
def test_a_card_that_is_away_when_its_buffer_is_enlarged_is_waited_for(how):
    backend, time, reports = SimulatedPortAudio(BUILTIN), SimulatedClock(), []
    with play_on(backend, reports=reports, time=time) as speaker:
        play_blocks(speaker, 0.012, 20)
        backend.plugged, backend.is_busy = ([BUILTIN], True) if how == "busy" else ([], False)
        before = time.now
        play_blocks(speaker, 0.020, 200)
        assert not speaker.is_there
        assert time.now - before == pytest.approx(200 * len(HOP) / RATE, abs=0.07)
        backend.plugged, backend.is_busy = [BUILTIN], False
        play_blocks(speaker, 0.020, 200)
        assert speaker.is_there
        assert speaker.n_underruns == 0
    assert [stream.latency for stream in backend.streams] == [0.024, 0.040]
    assert len(reports) == 3
    assert reports[0].endswith("needs a buffer of 40 ms from now on")
    assert reports[1].endswith("the music goes on unheard until then")
    assert reports[2].endswith("is there")
