"""Connects what acts on a playing instrument beside the panel's switches: MIDI, scenes."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager

from device.commands.instrument_settings import InstrumentSettings
from device.errors import SettingsError, ShareCodeError
from device.plain_text import visible
from device.playback.control import Scene
from device.playback.instrument import Instrument, Listener
from device.playback.share_code import SharedPosition

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
        If a scene or an entry of the MIDI map is none.
    """
    with ExitStack() as stack:
        listeners: list[Listener] = []
        instrument.control.scenes = parse_scenes(settings.scenes)
        if settings.midi is not None and not settings.standalone:
            # Imported here: most devices have no MIDI.
            from device.switches.midi.controller import MidiController

            controller = MidiController(
                settings.midi,
                settings.midi_mapping,
                instrument.control.queue,
                report=report,
                has_lights=settings.midi_lights,
            )
            stack.enter_context(controller)
            listeners.append(lambda state: controller.show(state.bits))
        yield listeners


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
