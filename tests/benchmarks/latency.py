"""How long the inversion takes to follow a flip, by window and glide.

`PYTHONPATH=. python tests/benchmarks/latency.py` prints the table of docs/measurements.md.
Milliseconds at 22,050 Hz from the first hop of a flip until half, and until nine tenths, of what is
heard is new. Computed from the windows; that a tone changes when it says is a test of `GriffinLim`.
"""

from device.synthesis.griffin_lim import GriffinLim

SAMPLE_RATE = 22_050
WINDOWS = [
    (512, 128, "hann"),
    (720, 180, "hann"),
    (768, 192, "hann"),
    (768, 128, "asymmetric"),
    (1024, 256, "hann"),
    (1024, 256, "asymmetric"),
]
GLIDES = (0, 1, 2, 3)


def row(n_fft: int, hop_length: int, window: str) -> str:
    inversion = GriffinLim(n_fft=n_fft, hop_length=hop_length, window=window)
    cells = [f"{window} {n_fft}/{hop_length}"]
    for glide in GLIDES:
        half, most = (
            1e3 * inversion.samples_until(share, glide) / SAMPLE_RATE for share in (0.5, 0.9)
        )
        cells.append(f"{half:.1f}, {most:.1f}")
    return f"| {' | '.join(cells)} |"


def table() -> str:
    heading = " | ".join(["window", *(f"glide {glide}" for glide in GLIDES)])
    rows = [row(*window) for window in WINDOWS]
    return "\n".join([f"| {heading} |", "|---" * (len(GLIDES) + 1) + "|", *rows])


if __name__ == "__main__":
    print(table())  # noqa: T201
