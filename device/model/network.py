"""The neural network in a model file, run by onnxruntime on one thread that does not spin."""

import os
import re
import threading
from pathlib import Path

import numpy as np
import onnxruntime as ort
from numpy.typing import NDArray
from onnxruntime.capi import onnxruntime_pybind11_state as onnxruntime_errors

from device.errors import (
    GoldenMismatch,
    Interrupted,
    ModelFailed,
    ModelOutOfReach,
    ModelUnreadable,
    SwitchboardError,
)
from device.files import open_regular, sha256_of, utf8_name
from device.model.contract import ModelCard, Tensor, check_file, check_tensors

Score = NDArray[np.float32]
Frames = NDArray[np.float32]
Composition = NDArray[np.float32]

# The passage that plays and the next one, of two instruments: one takes over from the other.
MOST_COMPOSITIONS = 4

# What a magnitude may differ by, beyond the golden tolerance, because it was stored as float32.
_ROUNDING = 1e-5
_TINY = 1e-30
# A floor is where silence begins: it takes less than 1 dB of a state that sounds.
_MOST_LOST_DB = 3.0

# Where onnxruntime failed at opening or reading a file, not at what is in it.
_SYSTEM_ERROR = re.compile(r"system error number (\d+)")
_ELEMENT_TYPES = {"tensor(float)": "float32"}
# onnxruntime's errors share no base class of their own, and damaged names fail as text.
ONNXRUNTIME_ERRORS: tuple[type[Exception], ...] = (
    UnicodeDecodeError,
    onnxruntime_errors.Fail,
    onnxruntime_errors.InvalidArgument,
    onnxruntime_errors.InvalidGraph,
    onnxruntime_errors.InvalidProtobuf,
    onnxruntime_errors.NoModel,
    onnxruntime_errors.NotImplemented,
    onnxruntime_errors.RuntimeException,
)
# It copies a weight for every node that reads it transposed, up to 3 MB of the bundled models; the
# outputs are the same to the bit, and take as long.
_DISABLED_OPTIMIZERS = ("ConstantFolding",)
# One for all networks of the process, those included that a thread is still opening.
_RUN_OPTIONS = ort.RunOptions()
# The caller reports the error.
_RUN_OPTIONS.log_severity_level = 4


def interrupt(ending: bool) -> None:
    """Stop every computation of every network, now and from now on, or allow them again.

    They raise `Interrupted`, those under way as soon as the operator being computed is done.
    """
    _RUN_OPTIONS.terminate = ending


class Network:
    """An opened model: its card and its two halves.

    `open` is the way in; it refuses whatever does not follow the contract. Both halves have run
    when it returns, so the first sound waits for no warm-up. Calls are safe from several threads.

    Attributes
    ----------
    digest : str
        SHA-256 of the file, in hexadecimal.
    n_not_finite : int
        Frames so far with a NaN or infinite number, which `frames` has made harmless.
    """

    def __init__(self, session: ort.InferenceSession, card: ModelCard, digest: str) -> None:
        self.card = card
        self.digest = digest
        self.n_not_finite = 0
        self._session = session
        score = np.zeros((card.n_slots, card.n_channels), np.float32)
        # onnxruntime computes all of a graph, whatever is fetched. NaN leaves the compose half
        # out; of the render half one frame is the least there is.
        self._idle = {
            "switches": np.full(card.n_switches, np.nan, np.float32),
            "variation": np.zeros(card.n_variation, np.float32),
            "score_in": score,
            "position": np.zeros(1, np.float32),
        }
        if card.n_codes:
            self._idle["variation"].fill(np.nan)
            self._idle["composition_in"] = np.zeros((card.n_slots, card.n_codes), np.float32)
        # By the bytes of their variation, the latest last.
        self._compositions: dict[bytes, Composition] = {}
        self._lock = threading.Lock()
        self._floor = np.float32(np.exp(card.log_floor))
        # Twice what a full-scale constant has.
        self._loudest = np.float32(card.n_fft)

    @classmethod
    def open(cls, path: Path) -> "Network":
        """Load and check a model file.

        Raises
        ------
        ModelNotFound, ModelTooLarge, ModelUnreadable, ContractError, GoldenMismatch
        ModelOutOfReach
            If the file exists and cannot be read, which is no fault of the model.
        """
        try:
            session, metadata = _load(path)
            digest = sha256_of(path)
        except OSError as error:
            if isinstance(error, SwitchboardError):
                raise
            raise _out_of_reach(path, error.strerror or str(error)) from error
        card = ModelCard.from_metadata(metadata)
        check_tensors(card, _tensors(session))
        network = cls(session, card, digest)
        network.replay_golden()
        return network

    def compose(self, switches: NDArray[np.float32], variation: NDArray[np.float32]) -> Score:
        """Switches (n_switches,) and variation (n_variation,) → score (n_slots, n_channels).

        Where the compose half is in two parts, the latest `MOST_COMPOSITIONS` are kept, so that
        another state of the same variation costs the second part alone. The score is the same.

        Raises
        ------
        ModelFailed
        Interrupted
            If `interrupt` was called.
        """
        if self.card.n_codes:
            composition = self._composition(variation)
            return self._run(["score"], switches=switches, composition_in=composition)[0]
        return self._run(["score"], switches=switches, variation=variation)[0]

    def prepare(self, variation: NDArray[np.float32]) -> None:
        """Compute what all states of a variation (n_variation,) share, if there is such.

        Raises
        ------
        ModelFailed
        Interrupted
            If `interrupt` was called.
        """
        if self.card.n_codes:
            self._composition(variation)

    def _composition(self, variation: NDArray[np.float32]) -> Composition:
        """What all states of a variation have in common, (n_slots, n_codes)."""
        key = variation.tobytes()
        with self._lock:
            composition = self._compositions.pop(key, None)
            if composition is not None:
                self._compositions[key] = composition
                return composition
        # Not under the lock: a block may need another variation meanwhile. Two threads may so
        # compute the same.
        composition = self._run(["composition"], variation=variation)[0]
        with self._lock:
            self._compositions[key] = composition
            while len(self._compositions) > MOST_COMPOSITIONS:
                del self._compositions[next(iter(self._compositions))]
        return composition

    def render(
        self, score: Score, position: NDArray[np.float32]
    ) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """Score and positions (n_frames,) in beats → what the render half computes.

        Returns
        -------
        Natural log magnitude (n_frames, n_bins), and phase advance (n_frames, 2 * n_guided).

        Raises
        ------
        ModelFailed
        Interrupted
            If `interrupt` was called.
        """
        outputs = ["log_magnitude", "phase_advance"][: 2 if self.card.n_guided else 1]
        drawn = self._run(outputs, score_in=score, position=position)
        return drawn[0], drawn[1] if self.card.n_guided else drawn[0][:, :0]

    def frames(self, score: Score, position: NDArray[np.float32]) -> Frames:
        """Like `render`, as what is inverted: (n_frames, frame_size).

        First the magnitudes, where what lies at the log floor is silent, then the phase advance,
        where no vector is longer than 1.
        """
        log_magnitude, advance = self.render(score, position)
        frames = np.empty((len(log_magnitude), self.card.frame_size), np.float32)
        magnitude = frames[:, : self.card.n_bins]
        np.exp(log_magnitude, out=magnitude)
        magnitude -= self._floor
        # fmax and fmin, not maximum and minimum: they drop NaN, which would never leave the
        # inversion's memory again.
        np.fmax(magnitude, 0.0, out=magnitude)
        np.fmin(magnitude, self._loudest, out=magnitude)
        vectors = advance.reshape(len(frames), 2, self.card.n_guided)
        with np.errstate(over="ignore", invalid="ignore"):
            length = np.hypot(vectors[:, 0], vectors[:, 1])
            bounded = vectors / np.fmax(length, 1.0)[:, np.newaxis]
        # NaN is not less than anything, and the maximum over a row with NaN in it is NaN.
        has_direction = length < np.inf
        is_finite = (log_magnitude.max(axis=1) < np.inf) & has_direction.all(axis=1)
        self.n_not_finite += int(np.count_nonzero(~is_finite))
        bounded = np.where(has_direction[:, np.newaxis], bounded, np.float32(0))
        frames[:, self.card.n_bins :] = bounded.reshape(advance.shape)
        return frames

    def _run(self, outputs: list[str], **feeds: NDArray[np.float32]) -> list[NDArray[np.float32]]:
        try:
            drawn: list[NDArray[np.float32]] = self._session.run(
                outputs, {**self._idle, **feeds}, _RUN_OPTIONS
            )
        except ONNXRUNTIME_ERRORS as error:
            if _RUN_OPTIONS.terminate:
                raise Interrupted from error
            # onnxruntime names the node first, and the cause last.
            reason = " ".join(str(error).rpartition("Status Message: ")[2].split())[:120]
            raise ModelFailed(
                f"model {self.card.title!r} ({self.digest[:12]}): found that {outputs[0]} cannot "
                f"be computed ({reason}), expected an output for every state; play another model"
            ) from error
        return drawn

    def replay_golden(self) -> None:
        """Compute the golden vector here and compare it, the magnitudes to be inverted included.

        Raises
        ------
        GoldenMismatch
        """
        golden, tolerance = self.card.golden, self.card.golden.tolerance
        switches, variation, positions, log_expected, expected, advance_expected = (
            np.array(numbers, np.float32)
            for numbers in (
                golden.switches,
                golden.variation,
                golden.positions,
                golden.log_magnitude,
                golden.magnitude,
                golden.phase_advance,
            )
        )
        score = self.compose(switches, variation)
        drawn = zip(self.render(score, positions), (log_expected, advance_expected), strict=True)
        differences = [np.abs(actual.reshape(-1) - wanted) for actual, wanted in drawn]
        difference, advance = (float(each.max(initial=0.0)) for each in differences)
        if not (difference <= tolerance and advance <= tolerance):
            found = f"{difference:.3g} nepers"
            if not advance <= tolerance:
                found += f" and {advance:.3g} of the phase advance"
            raise GoldenMismatch(
                f"model golden vector: found a difference of {found}, expected "
                f"at most {tolerance:.3g}; the file is damaged or this machine computes "
                "differently: export the model again"
            )
        if golden.magnitude:
            magnitudes = self.frames(score, positions)[:, : self.card.n_bins]
            self._check_magnitudes(magnitudes.reshape(-1), expected)
        else:
            self._check_floor(log_expected)

    def _check_magnitudes(self, actual: NDArray[np.float32], expected: NDArray[np.float32]) -> None:
        """Compare the magnitudes to be inverted with those that the training would invert.

        Raises
        ------
        GoldenMismatch
        """
        golden = self.card.golden
        with np.errstate(over="ignore"):
            unscaled = np.exp(np.array(golden.log_magnitude, np.float64))
        allowed = (np.expm1(golden.tolerance) + _ROUNDING) * unscaled
        difference = np.abs(actual - np.minimum(expected, self._loudest).astype(np.float64))
        if not (difference <= allowed).all():
            raise GoldenMismatch(
                f"model golden vector: found magnitudes that differ by {difference.max():.3g} "
                f"with a log_floor of {self.card.log_floor:g}, expected those of the training; "
                "the file's description of itself was changed: export the model again"
            )

    def _check_floor(self, log_magnitude: NDArray[np.float32]) -> None:
        """Check that a log floor is plausible, where the file does not hold its magnitudes.

        Raises
        ------
        GoldenMismatch
        """
        with np.errstate(over="ignore"):
            unscaled = np.exp(log_magnitude.astype(np.float64))
        above = np.maximum(unscaled - self._floor, 0)
        lost_db = 10 * np.log10((np.sum(unscaled**2) + _TINY) / (np.sum(above**2) + _TINY))
        if not lost_db <= _MOST_LOST_DB:
            raise GoldenMismatch(
                f"model golden vector: found {lost_db:.0f} dB of it below the log_floor of "
                f"{self.card.log_floor:g}, expected {_MOST_LOST_DB:.0f} dB at most; the file's "
                "description of itself was changed: export the model again"
            )


def _load(path: Path) -> tuple[ort.InferenceSession, dict[str, str]]:
    check_file(path)
    # Where this fails onnxruntime would fail as well, with a less plain error.
    open_regular(path).close()
    try:
        # By path: a session opened from bytes keeps them in memory, 10 MB.
        with utf8_name(path) as name:
            session = ort.InferenceSession(
                name,
                _session_options(),
                ["CPUExecutionProvider"],
                enable_fallback=0,
                disabled_optimizers=_DISABLED_OPTIMIZERS,
            )
        return session, dict(session.get_modelmeta().custom_metadata_map)
    except ONNXRUNTIME_ERRORS as error:
        if match := _SYSTEM_ERROR.search(str(error)):
            raise _out_of_reach(path, os.strerror(int(match[1]))) from error
        reason = " ".join(str(error).split())[:120]
        raise ModelUnreadable(
            f"{path}: not an ONNX model that onnxruntime can load ({reason}); "
            "expected a file written by `switchboard export`: copy or export it again"
        ) from error


def _out_of_reach(path: Path, reason: str) -> ModelOutOfReach:
    return ModelOutOfReach(
        f"{path}: found {reason}, expected a file that can be read; check its permissions, and "
        "the disk"
    )


def _session_options() -> ort.SessionOptions:
    options = ort.SessionOptions()
    options.intra_op_num_threads = 1
    options.inter_op_num_threads = 1
    # A spinning worker would keep a core at 100 % while it waits for the next block.
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    options.add_session_config_entry("session.inter_op.allow_spinning", "0")
    # An arena keeps the largest block it ever saw; blocks here are small.
    options.enable_cpu_mem_arena = False
    # A pattern joins all that one call needs into one block, 2 MB more.
    options.enable_mem_pattern = False
    options.log_severity_level = 4
    return options


def _tensors(session: ort.InferenceSession) -> list[Tensor]:
    return [
        Tensor(
            node.name,
            _ELEMENT_TYPES.get(node.type, node.type),
            tuple(size if isinstance(size, int) else None for size in node.shape),
        )
        for node in [*session.get_inputs(), *session.get_outputs()]
    ]
