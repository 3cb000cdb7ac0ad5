"""The compiled kernel computes what the numpy reference does, and the same on every processor."""

import numpy as np
import pytest

from device.synthesis.griffin_lim import GriffinLim
from device.synthesis.kernel.fingerprint import EXPECTED, as_rows, fingerprint
from device.synthesis.kernel.griffin_lim import CompiledGriffinLim, fits
from device.synthesis.kernel.tape import CompiledTape
from device.synthesis.tape import Tape
from tests.support.kernel import compiled_or_skip

RATE = 22_050
# Every radix, odd and even halves, first stages of every kind, and look-aheads from none on.
SIZES = [
    (1024, 256, "hann", 7),
    (720, 180, "hann", 3),
    (768, 128, "asymmetric", 7),
    (512, 128, "asymmetric", 15),
    (1000, 250, "hann", 7),
    (486, 54, "hann", 5),
    (250, 50, "asymmetric", 2),
    (2048, 64, "hann", 1),
    (1024, 256, "hann", 0),
]


@pytest.fixture(scope="module", autouse=True)
def library():
    return compiled_or_skip()


def decaying_noise(n_frames, n_fft, seed=0):
    n_bins = n_fft // 2 + 1
    noise = np.abs(np.random.default_rng(seed).standard_normal((n_frames, n_bins)))
    return (20 * noise * np.exp(-np.arange(n_bins) / 60)).astype(np.float32)


def with_advances(magnitudes, n_guided, seed=1):
    vectors = np.random.default_rng(seed).uniform(-0.7, 0.7, (2, len(magnitudes), n_guided))
    return as_rows(magnitudes, *vectors)


def both(n_fft, hop_length, window, look_ahead, **options):
    options |= {"n_fft": n_fft, "hop_length": hop_length, "window": window}
    options |= {"look_ahead": look_ahead}
    return GriffinLim(**options), CompiledGriffinLim(**options)


def relative_error(one, other):
    return np.abs(one - other).max() / np.abs(one).max()


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize(
    ("n_iterations", "in_turn"), [(0, False), (1, False), (3, False), (2, True)]
)
def test_the_first_hops_are_those_of_the_reference(size, n_iterations, in_turn):
    reference, compiled = both(*size, n_iterations=n_iterations, in_turn=in_turn)
    # Rounding grows from hop to hop: after some 50 hops they are two solutions of one quality.
    magnitudes = decaying_noise(size[-1] + 5, size[0])
    assert relative_error(reference.process(magnitudes), compiled.process(magnitudes)) < 3e-5


@pytest.mark.parametrize("size", SIZES)
def test_a_revision_is_that_of_the_reference(size):
    reference, compiled = both(*size)
    magnitudes = decaying_noise(40, size[0])
    for stream in (reference, compiled):
        stream.process(magnitudes[: size[-1] + 3])
        stream.revise(magnitudes[20 : 20 + size[-1]])
    assert np.array_equal(reference.targets, compiled.targets)
    samples = [stream.process(magnitudes[30:36]) for stream in (reference, compiled)]
    assert relative_error(*samples) < 1e-4


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize(("n_guided", "in_turn"), [(1, False), (96, False), (96, True)])
def test_guided_hops_are_those_of_the_reference(size, n_guided, in_turn):
    reference, compiled = both(*size, n_guided=n_guided, in_turn=in_turn)
    frames = with_advances(decaying_noise(size[-1] + 5, size[0]), n_guided)
    assert relative_error(reference.process(frames), compiled.process(frames)) < 1e-4
    for stream in (reference, compiled):
        stream.revise(frames[: size[-1]])
    assert np.array_equal(reference.targets, compiled.targets)
    samples = [stream.process(frames[-3:]) for stream in (reference, compiled)]
    assert relative_error(*samples) < 1e-3


@pytest.mark.parametrize("n_frames", [0, 1, 7, 8, 50])
def test_the_targets_are_those_of_the_reference_wherever_the_ring_is(n_frames):
    reference, compiled = both(1024, 256, "hann", 7)
    magnitudes = decaying_noise(n_frames, 1024)
    for stream in (reference, compiled):
        stream.process(magnitudes)
    assert np.array_equal(reference.targets, compiled.targets)


@pytest.mark.parametrize("wear", [0.0, 0.25, 1.0])
@pytest.mark.parametrize("at", [0, 10**9])
def test_the_tape_is_that_of_the_reference_to_85_db(wear, at):
    samples = 0.4 * np.random.default_rng(1).standard_normal(4 * RATE).astype(np.float32)
    played = []
    for make in (Tape, CompiledTape):
        tape = make(RATE, wear=wear, seed=3, gain=1.3, volume_limit=0.8)
        tape.seek(at)
        played.append(tape.process(samples.copy()))
    difference = played[0][100:] - played[1][100:]
    assert 20 * np.log10(difference.std() / played[0].std() + 1e-12) < -85


def test_one_call_does_what_two_do():
    magnitudes = decaying_noise(60, 1024) / 100
    one, two = (CompiledGriffinLim(n_fft=1024, hop_length=256) for _ in range(2))
    tapes = [CompiledTape(RATE, wear=0.25) for _ in range(2)]
    at_once = one.process_onto(tapes[0], magnitudes)
    assert at_once.tobytes() == tapes[1].process(two.process(magnitudes)).tobytes()


@pytest.mark.parametrize("size", EXPECTED)
def test_the_samples_are_those_of_every_processor(size, library):
    assert fingerprint(library, *size) == EXPECTED[size]


@pytest.mark.parametrize(
    ("n_fft", "hop_length"), [(1024, 256), (720, 180), (486, 54), (448, 64), (500, 125), (22, 2)]
)
def test_sizes_that_do_not_fit_are_refused_and_known_beforehand(n_fft, hop_length):
    if fits(n_fft, hop_length):
        CompiledGriffinLim(n_fft=n_fft, hop_length=hop_length)
    else:
        with pytest.raises(ValueError, match="an even hop, and half of n_fft a product"):
            CompiledGriffinLim(n_fft=n_fft, hop_length=hop_length)


def test_other_primes_and_odd_hops_do_not_fit():
    assert [fits(*size) for size in [(1024, 256), (448, 64), (500, 125), (22, 2)]] == [
        True,
        False,
        False,
        False,
    ]
