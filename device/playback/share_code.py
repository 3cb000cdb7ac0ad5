"""Share codes: a position in the music, short enough to be read aloud.

A code is a number in Crockford's base 32 (no I, L, O, U; case, hyphens and spaces mean nothing).
Its bits are, the highest first:

=========  ==================================================================================
bits       meaning
=========  ==================================================================================
2          version
1          whether the variation is frozen
1          whether the tempo is fixed
24         first bits of the model file's SHA-256
4          number of switches less one; from version 2 on, for more than 16: 6 bits
1 each     switches, the first one first
5 each     seed, then position in 16ths since the start: a bit that is 1 if more follows, and four
           bits of the number
16         tempo in 1/100 bpm, if it is fixed
0 to 4     zero
10         all bits before, as a number, modulo 1021
=========  ==================================================================================

Version 3 is that of a journey, with any number of switches.

1021 is a prime, so every code in which one character is wrong or two are swapped is detected.
"""

from dataclasses import dataclass, replace

from device.errors import ShareCodeError
from device.playback.state import InstrumentState
from device.switches.bits import Bits, format_bits
from device.synthesis.performance import Performance

ALPHABET = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"

# Version → bits of the number of switches.
_VERSIONS = {1: 4, 2: 6, 3: 6}
_OF_A_JOURNEY = 3
_DIGEST_DIGITS = 6
_SLOTS_PER_BEAT = 4
_MODULUS = 1021
_GROUP = 4
_LOOK_ALIKES = str.maketrans("ILO", "110", "- \t\r\n")


@dataclass(frozen=True)
class SharedPosition:
    """A position in the music of one model.

    Attributes
    ----------
    digest : str
        First digits of the SHA-256 of the model's file.
    bits : Bits
        Those that are heard.
    seed : int
    tempo_bpm : float or None
        None for the model's own; else to 1/100 bpm.
    still : bool
        Whether the variation is frozen.
    n_slots : int
        16th notes since the start.
    journey : bool
        Whether every other theme has another key.
    """

    digest: str
    bits: Bits
    seed: int
    tempo_bpm: float | None
    still: bool
    n_slots: int
    journey: bool = False

    @property
    def beat(self) -> float:
        """Beats since the start."""
        return self.n_slots / _SLOTS_PER_BEAT

    def applied_to(self, performance: Performance) -> Performance:
        """The performance with the seed, tempo, variation, keys and start of this position."""
        return replace(
            performance,
            seed=self.seed,
            tempo_bpm=self.tempo_bpm,
            still=self.still,
            journey=self.journey,
            start_beat=self.beat,
        )

    @property
    def code(self) -> str:
        """The share code, in groups of four characters."""
        payload = self._payload()
        payload += "0" * (-len(payload) % 5)
        check = int(payload, 2) % _MODULUS
        bits = payload + f"{check:010b}"
        text = "".join(ALPHABET[int(bits[i : i + 5], 2)] for i in range(0, len(bits), 5))
        return "-".join(text[i : i + _GROUP] for i in range(0, len(text), _GROUP))

    @classmethod
    def parse(cls, code: str) -> "SharedPosition":
        """Read a share code.

        Raises
        ------
        ShareCodeError
        """
        characters = code.upper().translate(_LOOK_ALIKES)
        if not characters or set(characters) - set(ALPHABET):
            raise _refusal(code, "a character that no code has", "letters and digits without U")
        bits = "".join(f"{ALPHABET.index(character):05b}" for character in characters)
        payload, check = bits[:-10], bits[-10:]
        if not payload or int(payload, 2) % _MODULUS != int(check, 2):
            raise _refusal(
                code, "a wrong, missing or swapped character", "a code with a valid check"
            )
        return _Reader(code, payload).position()

    def _payload(self) -> str:
        n_switches = len(self.bits)
        version = _OF_A_JOURNEY if self.journey else 1 if n_switches <= 16 else 2
        text = f"{version:02b}{self.still:b}{self.tempo_bpm is not None:b}"
        text += f"{int(self.digest[:_DIGEST_DIGITS], 16):024b}"
        text += f"{n_switches - 1:0{_VERSIONS[version]}b}"
        text += format_bits(self.bits) + _packed(self.seed) + _packed(self.n_slots)
        if self.tempo_bpm is not None:
            text += f"{round(100 * self.tempo_bpm):016b}"
        return text


class _Reader:
    """Reads the fields of a payload, one after another."""

    def __init__(self, code: str, payload: str) -> None:
        self._code = code
        self._rest = payload

    def position(self) -> SharedPosition:
        version, still, has_tempo = self._number(2), self._number(1), self._number(1)
        if version not in _VERSIONS:
            raise _refusal(self._code, f"version {version}", "version 1, 2 or 3")
        digest = f"{self._number(4 * _DIGEST_DIGITS):0{_DIGEST_DIGITS}x}"
        bits = tuple(bit == "1" for bit in self._read(self._number(_VERSIONS[version]) + 1))
        seed, n_slots = self._packed(), self._packed()
        tempo_bpm = self._number(16) / 100 if has_tempo else None
        if len(self._rest) > 4 or "1" in self._rest:
            raise _refusal(self._code, "more than a code holds", "a whole code")
        if tempo_bpm is not None and not 20 <= tempo_bpm <= 400:
            raise _refusal(self._code, f"{tempo_bpm} bpm", "20 to 400 bpm")
        is_journey = version == _OF_A_JOURNEY
        return SharedPosition(digest, bits, seed, tempo_bpm, bool(still), n_slots, is_journey)

    def _read(self, n_bits: int) -> str:
        bits, self._rest = self._rest[:n_bits], self._rest[n_bits:]
        if len(bits) < n_bits:
            raise _refusal(self._code, "less than a code holds", "a whole code")
        return bits

    def _number(self, n_bits: int) -> int:
        return int(self._read(n_bits), 2)

    def _packed(self) -> int:
        number, more = 0, 1
        while more:
            more, digit = self._number(1), self._number(4)
            number = 16 * number + digit
        return number


def position_of(state: InstrumentState) -> SharedPosition:
    """The position of an instrument."""
    return SharedPosition(
        digest=state.digest,
        bits=state.sounding,
        seed=state.seed,
        tempo_bpm=state.fixed_tempo_bpm,
        still=state.still,
        n_slots=int(state.position * _SLOTS_PER_BEAT),
        journey=state.journey,
    )


def describe(state: InstrumentState) -> str:
    """The bits and the share code, in one line."""
    return f"switches {format_bits(state.bits)}   share code {position_of(state).code}"


def _packed(number: int) -> str:
    digits = f"{number:x}"
    return "".join(f"{i < len(digits):b}{int(d, 16):04b}" for i, d in enumerate(digits, start=1))


def _refusal(code: str, found: str, expected: str) -> ShareCodeError:
    return ShareCodeError(
        f"share code {code[:60]!r}: found {found}, expected {expected}; check the code"
    )
