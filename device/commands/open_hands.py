"""Connects what acts on a playing instrument beside its switches: knobs, MIDI, the evening."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from typing import TYPE_CHECKING

from device.commands.instrument_settings import InstrumentSettings
from device.errors import SettingsError, ShareCodeError
from device.plain_text import visible
from device.playback.control import Scene
from device.playback.instrument import Instrument, Listener
from device.playback.share_code import SharedPosition
from device.switches.panel_parts import PanelParts, PulsePin

if TYPE_CHECKING:
    from device.playback.beat_clock import BeatClock
    from device.switches.midi.controller import MidiController

Report = Callable[[str], None]

_MOST_SCENES = 128


@contextmanager
def open_hands(
    settings: InstrumentSettings, instrument: Instrument, report: Report
) -> Iterator[list[Listener]]:
    """Open what the settings ask for, nothing by default; yield its listeners.

    Raises
    ------
    SettingsError
        If a scene or an entry of the MIDI map is none, or a time of day cannot be known.
    """
    instrument.control.scenes = parse_scenes(settings.scenes)
    if settings.midi is None and settings.midi_clock != "off":
        raise SettingsError(
            f"midi_clock: found {settings.midi_clock!r} without a port, expected `midi` beside it; "
            'add midi = "auto"'
        )
    with ExitStack() as stack:
        listeners: list[Listener] = []
        if not settings.standalone:
            instrument.evening.configure(settings.evening)
            if settings.wake_at is not None or settings.quiet is not None:
                from device.playback.evening.day_clock import DayClock

                day_clock = DayClock(
                    instrument.control.queue,
                    wake_at=settings.wake_at,
                    quiet=settings.quiet,
                    may_wait=settings.service,
                    report=report,
                )
                stack.enter_context(day_clock)
        if settings.panel_pins and not settings.standalone:
            panel = stack.enter_context(PanelParts(settings.panel_pins, instrument.control.queue))
            instrument.control.is_ending = lambda: panel.is_ending
        if settings.midi is not None or settings.pulse_pin is not None:
            # Only here: a start without MIDI need not wait for them.
            from device.playback.beat_clock import BeatClock
            from device.playback.clock_out import ClockOut

            # What leaves the speaker when; the clocks need it.
            beats = BeatClock(instrument.speaker)
            listeners.append(beats)
            send = None
            if settings.midi is not None:
                controller = stack.enter_context(_open_midi(settings, instrument, beats, report))
                listeners.append(lambda state: controller.show(state.bits))
                send = controller.ports.send if settings.midi_clock == "out" else None
            set_pin = None
            if settings.pulse_pin is not None:
                set_pin = stack.enter_context(PulsePin(settings.pulse_pin)).set
            if send is not None or set_pin is not None:
                stack.enter_context(ClockOut(beats, send=send, set_pin=set_pin))
        yield listeners


def _open_midi(
    settings: InstrumentSettings, instrument: Instrument, beats: "BeatClock", report: Report
) -> "MidiController":
    from device.playback.clock_in import ClockIn
    from device.switches.midi.controller import MidiController

    assert settings.midi is not None
    queue = instrument.control.queue
    return MidiController(
        settings.midi,
        settings.midi_mapping,
        queue,
        report=report,
        has_lights=settings.midi_lights,
        real_time=ClockIn(beats, queue) if settings.midi_clock == "in" else None,
    )


def parse_scenes(texts: Sequence[str]) -> list[Scene]:
    """Read scenes, each written ``NAME=CODE``.

    Raises
    ------
    SettingsError
        If one is not so written, its code is none, or there are two of a name or more than 128.
    """
    scenes = [_parse_scene(text) for text in texts]
    names = [scene.name for scene in scenes]
    if len(set(names)) < len(names) or len(names) > _MOST_SCENES:
        raise SettingsError(
            f"scenes: found {len(names)} with {len(set(names))} names, expected one name for each "
            f"and {_MOST_SCENES} at most; rename or remove some"
        )
    return scenes


def _parse_scene(text: str) -> Scene:
    name, _, code = (part.strip() for part in text.partition("="))
    try:
        if not name:
            raise ShareCodeError("no name")
        return Scene(name, SharedPosition.parse(code))
    except ShareCodeError as error:
        raise SettingsError(
            f"scenes: found {visible(text)[:80]!r} ({error}), expected NAME=CODE, such as "
            "'verse=9AC7-A1V5-1HS0-0N'; the space bar and `switchboard status` print codes"
        ) from error
