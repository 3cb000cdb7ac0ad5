"""What the instrument shows of itself: one immutable snapshot per block."""

from dataclasses import dataclass

Bits = tuple[bool, ...]


@dataclass(frozen=True)
class InstrumentState:
    """A snapshot that panels and reports may read from any thread.

    Attributes
    ----------
    title : str
        The model's title.
    labels : tuple of str
        A short name per switch.
    bits : Bits
        The panel as it is read.
    sounding : Bits
        The panel as it is heard; differs from `bits` while a flip waits for its beat or bar.
    bar, beat : int
        Counted from 0; `bar` runs on for ever, `beat` is within the bar.
    n_beats : int
        Beats in a bar.
    bar_in_loop, bars_per_loop : int
    tempo_bpm : float
    level_db : float
        RMS of the latest block in dB below full scale; -inf for silence.
    seconds : float
        Music handed to the speaker so far.
    n_flips : int
    switch_p50_ms, switch_p99_ms : float
        From reading a flip to handing over the first sample computed with it; nan before any.
    latency_ms : float
        What inversion and speaker add after that.
    n_underruns : int
        Counted by the speaker.
    n_late : int
        Blocks that took longer to make than to play.
    """

    title: str
    labels: tuple[str, ...]
    bits: Bits
    sounding: Bits
    bar: int
    beat: int
    n_beats: int
    bar_in_loop: int
    bars_per_loop: int
    tempo_bpm: float
    level_db: float
    seconds: float
    n_flips: int
    switch_p50_ms: float
    switch_p99_ms: float
    latency_ms: float
    n_underruns: int
    n_late: int
