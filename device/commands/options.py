"""Options that several verbs share."""

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from device.commands.instrument_settings import InstrumentSettings
from device.commands.number_types import DaySpan, DayTime, Finite
from device.store.store import DEFAULT_STORE
from device.synthesis.transport import Quantize

if TYPE_CHECKING:
    from device.playback.share_code import SharedPosition


Decorator = Callable[[Callable[..., Any]], Callable[..., Any]]


def _model_path(ctx: click.Context, param: click.Parameter, value: Path | None) -> Path | None:
    """`bundled` and `bundled:NAME` are names of models; every other word is a path."""
    from device.model.bundled import bundled_model

    return value and (bundled_model(str(value)) or value)


def model_paths(
    ctx: click.Context, param: click.Parameter, value: tuple[Path, ...]
) -> tuple[Path, ...]:
    """The paths of models, of which each may be `bundled` or `bundled:NAME`."""
    return tuple(path for name in value if (path := _model_path(ctx, param, name)))


def _position(
    _ctx: click.Context, _param: click.Parameter, value: str | None
) -> "SharedPosition | None":
    if value is None:
        return None
    from device.playback.share_code import SharedPosition

    return SharedPosition.parse(value)


def check_share_code_alone(position: "SharedPosition | None") -> None:
    """Refuse a share code together with an option whose value it contains.

    Raises
    ------
    click.UsageError
    """
    source = click.get_current_context().get_parameter_source
    for name in ("seed", "tempo", "still", "journey", "bits"):
        if position is not None and source(name) is click.core.ParameterSource.COMMANDLINE:
            raise click.UsageError(f"--share contains what --{name} sets; leave one of them out.")


model = click.option(
    "--model",
    type=click.Path(path_type=Path),
    callback=_model_path,
    help="Model file (.onnx), `bundled`, or `bundled:NAME`.  [default: bundled]",
)
store = click.option(
    "--store",
    type=click.Path(path_type=Path),
    default=DEFAULT_STORE,
    show_default=True,
    help="Folder of the models that were pushed to this device.",
)
share = click.option(
    "--share",
    "position",
    metavar="CODE",
    callback=_position,
    help="Start at a share code: its model, switches, seed, tempo and position. The same code "
    "gives the same samples, and the notes of the position where it was taken.",
)
seed = click.option(
    "--seed",
    type=click.IntRange(min=0),
    default=InstrumentSettings.seed,
    show_default=True,
    help="Same switches, model and seed: same music.",
)
tempo = click.option(
    "--tempo",
    type=Finite(20, 400),
    help="Beats per minute.  [default: the model's own]",
)
still = click.option(
    "--still", is_flag=True, help="Hold the variation: the loop comes back as it is."
)
journey = click.option(
    "--journey", is_flag=True, help="Play every other theme in another key, and come back."
)
tape = click.option(
    "--tape",
    type=Finite(0, 1),
    default=InstrumentSettings.tape,
    show_default=True,
    help="Wow, saturation, hiss and crackle: 0 none to 1 worn.",
)
gain = click.option(
    "--gain",
    type=Finite(-60, 12),
    default=InstrumentSettings.gain,
    show_default=True,
    help="Volume in dB before the limiter.",
)
volume_limit = click.option(
    "--volume-limit",
    type=Finite(-60, 0),
    default=InstrumentSettings.volume_limit,
    show_default=True,
    help="Lower the limiter's ceiling by so many dB: the output stays below it at any gain.",
)
quantize = click.option(
    "--quantize",
    type=click.Choice([q.value for q in Quantize]),
    default=InstrumentSettings.quantize,
    show_default=True,
    help="When a flip sounds: at once, or on the next 16th, beat or bar.",
)
glide = click.option(
    "--glide",
    type=click.IntRange(0, 8),
    default=InstrumentSettings.glide,
    show_default=True,
    help="Frames that lead from the sound before a flip into the sound after it: more is softer "
    "and later.",
)
as_json = click.option("--json", "as_json", is_flag=True, help="Print the figures as JSON.")


def together(*options: Decorator) -> Decorator:
    """One decorator of several; help lists them in this order."""

    def decorate(function: Callable[..., Any]) -> Callable[..., Any]:
        for option in reversed(options):
            function = option(function)
        return function

    return decorate


midi = click.option(
    "--midi",
    metavar="auto|NAME|FILE",
    help="Take notes, controllers and programs from MIDI: auto is every port, NAME a part of "
    "a port's name, FILE its device file.  [default: no MIDI]",
)
_midi_channel = click.option(
    "--midi-channel", type=click.IntRange(1, 16), help="Take this channel alone.  [default: all]"
)
_midi_map = click.option(
    "--midi-map",
    multiple=True,
    metavar="'MESSAGE = WHAT'",
    help="What a message does, one option each, such as 'note 48 = switch 3' or 'cc 21 = tempo'; "
    "`doctor --midi` prints what arrives.  [default: notes from 36 are the switches, cc 7 is the "
    "volume, programs are the scenes]",
)
_midi_lights = click.option(
    "--midi-lights", is_flag=True, help="Send the states of the switches back as notes."
)
_midi_clock = click.option(
    "--midi-clock",
    type=click.Choice(["off", "in", "out"]),
    default=InstrumentSettings.midi_clock,
    show_default=True,
    help="in: follow the tempo and the beats of a MIDI clock, from 40 to 200 bpm; out: send one.",
)
_pulse_pin = click.option(
    "--pulse-pin", type=int, help="BCM number of a pin with two pulses a beat, for sequencers."
)
_scenes = click.option(
    "--scenes",
    multiple=True,
    metavar="NAME=CODE",
    help="A share code to recall by MIDI, one option each: its switches, tempo and model.",
)

_volume_encoder = click.option(
    "--volume-encoder",
    type=int,
    multiple=True,
    help="BCM numbers of a rotary encoder's contacts A and B, one option each: 1 dB a detent.",
)
_tempo_encoder = click.option(
    "--tempo-encoder",
    type=int,
    multiple=True,
    help="BCM numbers of a rotary encoder's contacts A and B, one option each: 1 bpm a detent.",
)
_volume_channel = click.option(
    "--volume-channel",
    type=click.IntRange(0, 7),
    help="Channel of an MCP3008 with a potentiometer.",
)
_tempo_channel = click.option(
    "--tempo-channel", type=click.IntRange(0, 7), help="The same for the tempo, 40 to 200 bpm."
)
_next_pin = click.option(
    "--next-pin", type=int, help="BCM number of a button for the next model of the store."
)
_shutdown_pin = click.option(
    "--shutdown-pin",
    type=int,
    help="BCM number of a button that ends the music when it is held for 3 s; a service switches "
    "the device off.",
)

_sleep = click.option(
    "--sleep",
    type=Finite(0.05, 1440),
    help="Be asleep so many minutes after the start: it fades, then nothing is computed; any flip "
    "wakes it.  [default: never]",
)
_sleep_fade = click.option(
    "--sleep-fade",
    type=Finite(0, 60),
    default=InstrumentSettings.sleep_fade,
    show_default=True,
    help="Minutes of the fade before it is asleep.",
)
_sleep_gesture = click.option(
    "--sleep-gesture",
    type=Finite(0, 1440),
    default=InstrumentSettings.sleep_gesture,
    show_default=True,
    help="The first and the last switch, each flipped there and back three times within 3 s, have "
    "it asleep after so many minutes, or cancel that; 0: they do not.",
)
_wake_at = click.option(
    "--wake-at",
    type=DayTime(),
    metavar="HH:MM",
    help="Wake at this local time, every day; needs a clock that is right.  [default: never]",
)
_wake_after = click.option(
    "--wake-after",
    type=Finite(0.05, 1440),
    help="Wake after so many minutes of sleep; needs no clock.  [default: never]",
)
_wake_fade = click.option(
    "--wake-fade",
    type=Finite(0, 60),
    default=InstrumentSettings.wake_fade,
    show_default=True,
    help="Minutes of the fade with which it wakes; after a flip it takes 1.5 s.",
)
_quiet = click.option(
    "--quiet",
    type=DaySpan(),
    metavar="HH:MM-HH:MM",
    help="Quiet hours in local time; needs a clock that is right.  [default: none]",
)
_quiet_volume = click.option(
    "--quiet-volume",
    type=Finite(-60, 0),
    default=InstrumentSettings.quiet_volume,
    show_default=True,
    help="Level of the quiet hours in dB, on top of every other volume; -60: silence.",
)
_wander = click.option(
    "--wander",
    type=Finite(0, 1440),
    help="After so many minutes without a hand, flip switches at random until one comes.  "
    "[default: never]",
)
_wander_bars = click.option(
    "--wander-bars",
    type=click.IntRange(1, 1000),
    default=InstrumentSettings.wander_bars,
    show_default=True,
    help="Bars from one flip of --wander to the next.",
)

evening = together(
    *(_sleep, _sleep_fade, _sleep_gesture, _wake_at, _wake_after, _wake_fade),
    *(_quiet, _quiet_volume, _wander, _wander_bars),
)
knobs = together(
    _volume_encoder, _tempo_encoder, _volume_channel, _tempo_channel, _next_pin, _shutdown_pin
)
hands = together(
    knobs, midi, _midi_channel, _midi_map, _midi_lights, _midi_clock, _pulse_pin, _scenes
)
music = together(seed, tempo, still, journey, tape, gain)
