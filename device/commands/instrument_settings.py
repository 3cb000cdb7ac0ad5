"""What an instrument is built from, as plain values: the options of `switchboard play`."""

import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from device.errors import SettingsError
from device.playback.evening.state import EveningSettings, time_of
from device.switches.panel_parts import NEXT_MODEL, SHUT_DOWN, TEMPO, VOLUME, PanelPins
from device.switches.pinout import DEFAULT_PINS, Pin
from device.switches.wiring import Wiring
from device.synthesis.performance import Performance
from device.synthesis.transport import Quantize

if TYPE_CHECKING:
    from device.playback.share_code import SharedPosition
    from device.switches.midi.mapping import MidiMapping


@dataclass(frozen=True)
class InstrumentSettings:
    """What `build_instrument` builds from; a field has the name and the default of `play`'s option.

    Attributes
    ----------
    model : Path or None
        Model file; None: the active model of the store, else the bundled one.
    store : Path or None
        Folder of the pushed models; None: the default folder on a machine that has one.
    switches : str
        ``auto``, ``gpio``, ``keyboard``, ``demo`` or ``script:FILE``.
    pins : tuple of int or ChipLine
        BCM numbers of the switches' pins, or lines of an expander, first switch first.
    active_high : bool
        Closed to 3.3 V is on, else closed to ground.
    pull : str
        Where the pull resistors are: ``inside`` the Pi or ``outside``, on the board.
    led_playing, led_fault, led_beat : int or None
        BCM numbers of the status LEDs; None: there is no such LED.
    volume_encoder, tempo_encoder : tuple of int
        BCM numbers of the contacts A and B; empty: there is no such encoder.
    volume_channel, tempo_channel : int or None
        Channel of an MCP3008 with a potentiometer; None: there is none.
    next_pin, shutdown_pin : int or None
        BCM numbers of the buttons; None: there is no such button.
    midi : str or None
        ``auto``, a part of a MIDI port's name or the path of its device file; None: no MIDI.
    midi_channel : int or None
        1 to 16; None: every channel.
    midi_map : tuple of str
        What messages do, as `device.switches.midi.mapping.MidiMapping` takes it.
    midi_lights : bool
        Send the states of the switches back as notes.
    midi_clock : str
        ``off``; ``in`` follows the clock of a port, ``out`` sends one.
    pulse_pin : int or None
        BCM number of a pin with two pulses a beat; None: there is none.
    scenes : tuple of str
        ``NAME=CODE`` each, as `device.commands.open_hands.parse_scenes` takes them.
    sleep, wake_after, wander : float or None
        Minutes: from the start to sleep, of sleep, and without a hand to the wander; None: never.
    sleep_fade, wake_fade, sleep_gesture : float
        Minutes of the fades, and of the timer that the gesture starts; 0: there is no gesture.
    wake_at : int or None
        Minute of the day; None: never.
    quiet : (int, int) or None
        Minutes of the day at which the quiet hours begin and end; None: there are none.
    quiet_volume : float
        In dB; -60 is silence.
    wander_bars : int
        From one flip of the wander to the next.
    speaker : str
        As `device.audio.open_speaker.open_speaker` takes it.
    status : Path or None
        Status file; None: the default file on a machine that has its folder.
    control : Path or None
        Control socket for a panel in another process; None: there is none.
    position : SharedPosition or None
        Start there; replaces the model, `seed`, `tempo`, `still` and `journey`.
    performance_log : Path or None
        File of the log; None: in the state folder on a machine that has one.
    keep_minutes : float
        How much of the last music can be kept; 0: none.
    keep_folder : Path or None
        Folder of the kept music; None: the default one.
    keep_pin : int or None
        BCM number of the button that keeps the last minutes; None: there is no such button.
    service : bool
        Run as a system service: `auto` switches are the pins, a missing sound card is waited for,
        systemd is notified and the audio loop has real-time priority.
    seed : int
    tempo : float or None
        Beats per minute; None: the model's own.
    still : bool
        Hold the variation.
    journey : bool
        Every other theme in another key, not if the variation is held.
    tape : float
        0 to 1.
    gain : float
        In dB before the limiter.
    volume_limit : float
        In dB; lowers the limiter's ceiling.
    quantize : str
        Value of a `Quantize`.
    glide : int
        Frames that lead from the score before a flip into the one after it.
    as_json : bool
        The terminal shows plain lines instead of the live view.
    standalone : bool
        A recording or a measurement: no display, no status file, no LEDs, no model from the store
        unless `position` names it, no change of model or inversion while it plays.
    ahead : bool
        Compute scores ahead on a helper thread, which playing in real time needs.
    block_frames : int
        Frames per block; the switches are read once per block.
    """

    model: Path | None = None
    store: Path | None = None
    switches: str = "auto"
    pins: tuple[Pin, ...] = DEFAULT_PINS
    active_high: bool = False
    pull: str = "inside"
    led_playing: int | None = None
    led_fault: int | None = None
    led_beat: int | None = None
    volume_encoder: tuple[int, ...] = ()
    tempo_encoder: tuple[int, ...] = ()
    volume_channel: int | None = None
    tempo_channel: int | None = None
    next_pin: int | None = None
    shutdown_pin: int | None = None
    midi: str | None = None
    midi_channel: int | None = None
    midi_map: tuple[str, ...] = ()
    midi_lights: bool = False
    midi_clock: str = "off"
    pulse_pin: int | None = None
    scenes: tuple[str, ...] = ()
    sleep: float | None = None
    sleep_fade: float = EveningSettings.sleep_fade_minutes
    sleep_gesture: float = 30.0
    wake_at: int | None = None
    wake_after: float | None = None
    wake_fade: float = EveningSettings.wake_fade_minutes
    quiet: tuple[int, int] | None = None
    quiet_volume: float = EveningSettings.quiet_db
    wander: float | None = None
    wander_bars: int = EveningSettings.wander_bars
    speaker: str = "auto"
    status: Path | None = None
    control: Path | None = None
    position: "SharedPosition | None" = None
    performance_log: Path | None = None
    keep_minutes: float = 5.0
    keep_folder: Path | None = None
    keep_pin: int | None = None
    service: bool = False
    seed: int = Performance.seed
    tempo: float | None = Performance.tempo_bpm
    still: bool = Performance.still
    journey: bool = Performance.journey
    tape: float = Performance.tape
    gain: float = Performance.gain_db
    volume_limit: float = Performance.volume_limit_db
    quantize: str = Performance.quantize.value
    glide: int = Performance.glide_frames
    as_json: bool = False
    standalone: bool = False
    ahead: bool = True
    block_frames: int = Performance.block_frames

    @property
    def switch_source(self) -> str:
        """`switches`, with ``auto`` replaced by what this process would use now."""
        if self.switches != "auto":
            return self.switches
        if self.service:
            return "gpio"
        return "keyboard" if sys.stdin is not None and sys.stdin.isatty() else "demo"

    @property
    def panel_pins(self) -> PanelPins:
        """Where knobs and buttons are connected.

        Raises
        ------
        SettingsError
            If an encoder has not two contacts.
        """
        encoders = {VOLUME: self.volume_encoder, TEMPO: self.tempo_encoder}
        for name, contacts in encoders.items():
            if len(contacts) not in (0, 2):
                raise SettingsError(
                    f"{name}_encoder: found {len(contacts)} pins, expected two, of the contacts A "
                    "and B; the third contact goes to ground"
                )
        channels = {VOLUME: self.volume_channel, TEMPO: self.tempo_channel}
        buttons = {NEXT_MODEL: self.next_pin, SHUT_DOWN: self.shutdown_pin}
        return PanelPins(
            encoders={name: contacts for name, contacts in encoders.items() if contacts},
            channels={name: n for name, n in channels.items() if n is not None},
            buttons={name: bcm for name, bcm in buttons.items() if bcm is not None},
        )

    @property
    def wiring(self) -> Wiring:
        """How the switches and all other parts are connected to the pins."""
        leds = {"playing": self.led_playing, "fault": self.led_fault, "beat": self.led_beat}
        return Wiring(
            self.pins,
            active_high=self.active_high,
            pulled_outside=self.pull == "outside",
            leds={name: bcm for name, bcm in leds.items() if bcm is not None},
            contacts=self.panel_pins.contacts,
            has_converter=bool(self.panel_pins.channels),
            pulse_pin=self.pulse_pin,
            keep_pin=self.keep_pin,
        )

    @property
    def midi_mapping(self) -> "MidiMapping":
        """What MIDI messages do.

        Raises
        ------
        SettingsError
            If an entry is none.
        """
        from device.switches.midi.mapping import MidiMapping

        names = [text.partition("=")[0].strip() for text in self.scenes]
        return MidiMapping(self.midi_map, channel=self.midi_channel, scenes=names)

    @property
    def evening(self) -> EveningSettings:
        """When to sleep, wake and wander."""
        return EveningSettings(
            sleep_minutes=self.sleep,
            sleep_fade_minutes=self.sleep_fade,
            wake_fade_minutes=self.wake_fade,
            wake_minutes=self.wake_after,
            wake_at=None if self.wake_at is None else time_of(self.wake_at),
            quiet_db=self.quiet_volume,
            wander_minutes=self.wander,
            wander_bars=self.wander_bars,
            gesture_minutes=self.sleep_gesture,
        )

    @property
    def performance(self) -> Performance:
        """How to play, from the start of the music or from `position`."""
        performance = Performance(
            seed=self.seed,
            tempo_bpm=self.tempo,
            quantize=Quantize(self.quantize),
            glide_frames=self.glide,
            still=self.still,
            journey=self.journey,
            tape=self.tape,
            gain_db=self.gain,
            volume_limit_db=self.volume_limit,
            block_frames=self.block_frames,
        )
        return performance if self.position is None else self.position.applied_to(performance)
