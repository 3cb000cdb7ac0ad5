"""Windows for the inversion, and the work that is done in each."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Preset:
    """A window, its hop, and the work done per hop.

    Attributes
    ----------
    n_fft, hop_length : int
        Samples. The window decides the latency, and how close two pitches may be.
    look_ahead : int
        Frames forecast. In numpy a longer queue costs less than more iterations over a short one:
        rows that are transformed together share the overhead of the call.
    n_iterations : int
    in_turn : bool
        Whether frames are projected one after the other; see `GriffinLim`.
    """

    n_fft: int
    hop_length: int
    look_ahead: int
    n_iterations: int
    in_turn: bool = False

    @property
    def latency_samples(self) -> int:
        """From a change of target until it is whole; see `GriffinLim.latency_samples`."""
        return self.n_fft - self.hop_length


# Measured by tests/benchmarks/inversion.py; latencies at 22,050 Hz.
PRESETS = {
    # 17.4 ms. Chord tones a semitone apart beat inside one bin: for drums and short sounds.
    "lowest-latency": Preset(512, 128, look_ahead=3, n_iterations=1),
    # 24.5 ms, the longest window below 25 ms that an FFT likes (720 = 16 * 9 * 5).
    "default": Preset(720, 180, look_ahead=3, n_iterations=1),
    # 34.8 ms. Fifteen frames ahead are 1 dB better, for half as much work again, and more where
    # caches are small or shared.
    "best": Preset(1024, 256, look_ahead=7, n_iterations=1),
    # 2.2 dB nearer for a third more work of the kernel; in numpy it takes three times as long. All
    # at once, two iterations need seven frames to be as near, and two fifths more work.
    "closest": Preset(1024, 256, look_ahead=4, n_iterations=2, in_turn=True),
    # What plays. The magnitudes that a network draws are no sound's: more look-ahead or iterations
    # bring them no nearer, and change what is heard by less than 0.1 standard deviations of it.
    "played": Preset(1024, 256, look_ahead=3, n_iterations=1),
}
