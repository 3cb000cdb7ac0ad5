"""An instrument as it is built from its settings, on the tiny model."""

from dataclasses import fields
from pathlib import Path

import numpy as np
import pytest

from device.audio.wav_file import WavSpeaker
from device.commands.build_instrument import build_instrument
from device.commands.instrument_settings import InstrumentSettings
from device.commands.play import play
from device.errors import OutputError
from device.playback.share_code import SharedPosition
from device.switches.base import FixedSwitches
from device.system.termination import TerminationHandler
from tests.support.command_output import RATE, samples_of

pytestmark = pytest.mark.usefixtures("own_folder")
STATE = (True, False, True)


class RecordingTermination(TerminationHandler):
    """Keeps the actions to do before the process is ended by force."""

    def __init__(self):
        super().__init__(lambda on: None)
        self.saves, self.cleanups = [], []

    def add_save(self, act):
        self.saves.append(act)

    def add_cleanup(self, act):
        self.cleanups.append(act)


class ClosingSwitches(FixedSwitches):
    is_closed = False

    def close(self):
        self.is_closed = True


def test_the_options_of_play_are_the_settings_and_have_their_defaults():
    parameters = play.make_context("play", ["--config", "/dev/null"]).params
    del parameters["config"], parameters["seconds"]
    assert InstrumentSettings(**parameters) == InstrumentSettings()
    without_option = {field.name for field in fields(InstrumentSettings)} - parameters.keys()
    assert without_option == {"standalone", "ahead", "block_frames"}


def test_the_same_settings_give_the_same_samples_from_any_switches_and_speaker(tiny_model, run):
    settings = InstrumentSettings(
        model=tiny_model, seed=3, standalone=True, ahead=False, block_frames=16
    )
    with build_instrument(
        settings,
        make_switches=lambda n: FixedSwitches(STATE[:n]),
        make_speaker=lambda rate: WavSpeaker(Path("built.wav"), rate, paced=False, whole=True),
    ) as instrument:
        instrument.play(1)
    run("render", "--bits", "101", "--seed", 3, "--seconds", 1, "--out", "rendered.wav")
    assert len(samples_of("built.wav")) == RATE
    assert np.array_equal(samples_of("built.wav"), samples_of("rendered.wav"))


def test_a_standalone_instrument_has_no_listeners_and_writes_no_status(tiny_model):
    settings = InstrumentSettings(
        model=tiny_model, switches="demo", speaker="silent", status=Path("status.json"),
        led_beat=99, standalone=True,
    )  # fmt: skip
    with build_instrument(settings) as instrument:
        assert instrument.listeners == []
    assert list(Path().iterdir()) == []


def test_a_recording_is_saved_and_the_switches_are_closed_before_an_end_by_force(tiny_model):
    settings = InstrumentSettings(model=tiny_model, speaker="wav:x.wav", switches="demo")
    termination = RecordingTermination()
    with build_instrument(settings, termination) as instrument:
        assert termination.saves == [instrument.speaker.end]
        assert instrument.switches.close in termination.cleanups


def test_open_parts_are_closed_when_a_later_part_does_not_open(tiny_model):
    opened = []

    def make_switches(n):
        opened.append(ClosingSwitches((False,) * n))
        return opened[0]

    settings = InstrumentSettings(model=tiny_model, speaker="wav:no such folder/x.wav")
    with (
        pytest.raises(OutputError),
        build_instrument(settings, make_switches=make_switches),
    ):
        pytest.fail("built without a speaker")
    assert opened[0].is_closed


def test_a_share_code_takes_precedence_over_seed_tempo_and_variation():
    position = SharedPosition("ab" * 3, STATE, 5, 90.0, still=True, n_slots=43)
    performance = InstrumentSettings(seed=1, gain=-6.0, position=position).performance
    assert (performance.seed, performance.tempo_bpm, performance.still) == (5, 90.0, True)
    assert (performance.start_beat, performance.gain_db) == (43 / 4, -6.0)


def test_the_wiring_has_the_leds_that_are_named():
    wiring = InstrumentSettings(pins=(5, 6), pull="outside", led_beat=22).wiring
    assert (wiring.pins, wiring.pulled_outside, wiring.leds) == ((5, 6), True, {"beat": 22})


def test_switches_that_are_not_named_are_pins_in_a_service_and_the_demo_without_a_terminal():
    assert InstrumentSettings(service=True).switch_source == "gpio"
    assert InstrumentSettings().switch_source == "demo"
    assert InstrumentSettings(switches="keyboard", service=True).switch_source == "keyboard"
