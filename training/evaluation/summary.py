"""Key results of an evaluation, one sentence each, made of the figures."""

from collections.abc import Callable

import numpy as np

from training.evaluation.evaluate import Evaluation
from training.evaluation.release_gate import LEAST_COHERENCE, thresholds
from training.reporting.text import Finding, listing, typeset_findings


def find(evaluation: Evaluation) -> list[Finding]:
    """Every result whose figures were measured."""
    makers: list[Callable[[Evaluation], Finding | None]] = [
        _gate,
        _coherent,
        _recognised,
        _against_music,
        _notes,
        _apart,
        _stays,
        _returns,
        _soon,
        _level,
    ]
    return typeset_findings(make(evaluation) for make in makers)


def _gate(evaluation: Evaluation) -> Finding:
    conditions = [each for each in thresholds(evaluation) if each.is_measured]
    missed = [each for each in conditions if not each.is_met]
    text = "Every measured condition is met."
    if missed:
        text = f"Missed: {listing([f'{each.name} ({each.measured})' for each in missed])}."
    if evaluation.reference is None:
        text += " There was no held-out music to compare it with."
    return Finding(
        f"{len(conditions) - len(missed)} of {len(conditions)}",
        "conditions of the release gate are met",
        text,
    )


def _coherent(evaluation: Evaluation) -> Finding:
    switches = sorted(evaluation.switches, key=lambda switch: -switch.coherence)
    n_coherent = sum(switch.coherence >= LEAST_COHERENCE for switch in switches)
    best, worst = switches[0], switches[-1]
    return Finding(
        f"{n_coherent} of {len(switches)}",
        "switches have an effect that hardly depends on the others",
        f"Coherence is the share of a change that is the same in all states; the gate requires "
        f"{LEAST_COHERENCE:g}. Most in switch {best.number + 1}, {best.label} "
        f"({best.coherence:.2f}), least in switch {worst.number + 1}, {worst.label} "
        f"({worst.coherence:.2f}).",
    )


def _recognised(evaluation: Evaluation) -> Finding:
    least = min(evaluation.switches, key=lambda switch: switch.recognised)
    return Finding(
        f"{100 * least.recognised:.1f} %",
        "of renders reveal even the least clear switch",
        f"Of switch {least.number + 1}, {least.label}. A linear classifier, trained on renders in "
        "other variations, reads it from the figures below; 50 % is chance.",
    )


def _against_music(evaluation: Evaluation) -> Finding | None:
    if evaluation.reference is None:
        return None
    ours, alone = evaluation.distances, evaluation.inversion_distances
    listed = listing([f"{group} {ours[group]:.2f} ({alone[group]:.2f})" for group in ours])
    halves = evaluation.noise_floor["sharp"]
    return Finding(
        f"{ours['sharp']:.2f} sd",
        "in sharpness from held-out music",
        f"Mean distances, and in brackets those of the inversion alone: {listed}. One "
        f"half of that music is {halves:.2f} sd in sharpness from the other.",
    )


def _notes(evaluation: Evaluation) -> Finding | None:
    pitches = evaluation.pitch_comparisons
    if not pitches.keys() >= {"model", "inversion", "halves"}:
        return None
    model, inversion, halves = (pitches[name] for name in ("model", "inversion", "halves"))
    return Finding(
        f"{evaluation.distances['notes']:.2f} sd",
        "in notes from held-out music",
        f"Half a second's pitches have kernel distance {model.kernel_distance:.0f} from that "
        f"music's; the inversion alone {inversion.kernel_distance:.0f}, one half of the music from "
        f"the other {halves.kernel_distance:.0f}. Two renders differ in pitch "
        f"{100 * model.diversity:.0f} % as much as two loops.",
    )


def _apart(evaluation: Evaluation) -> Finding:
    similarity = evaluation.state_similarity
    one_flip = similarity.by_flips[0]
    n_twins = len(similarity.indistinguishable_pairs)
    same = f"{n_twins} pairs of states are" if n_twins != 1 else "One pair of states is"
    return Finding(
        f"{one_flip.middle:.2f} sd",
        "is the median change of sound by one flip",
        f"Two renders of one state differ by {similarity.between_renders:.2f} sd. The two nearest "
        f"states are {similarity.least_distance:.2f} sd apart; "
        f"{same if n_twins else 'no pair is'} nearer than half of what renders "
        f"differ by, {similarity.indistinguishable_distance:.2f} sd.",
    )


def _stays(evaluation: Evaluation) -> Finding | None:
    harmony = [each.harmony for each in evaluation.agreements]
    rhythm = [each.rhythm for each in evaluation.agreements]
    distant, mean = evaluation.distant_agreement, evaluation.mean_agreement
    # A sample of states need not hold a pair for every switch.
    if np.isnan([mean.harmony, mean.rhythm, distant.harmony]).any():
        return None
    least, most = int(np.argmin(harmony)), int(np.argmin(rhythm))
    return Finding(
        f"{mean.harmony:.2f}",
        "is the mean agreement of harmony before and after one flip",
        f"Least for switch {least + 1}, {evaluation.labels[least]} ({harmony[least]:.2f}); between "
        f"states that differ in half of the switches or more {distant.harmony:.2f}. "
        f"Of rhythm: {mean.rhythm:.2f}, least for switch "
        f"{most + 1}, {evaluation.labels[most]} ({rhythm[most]:.2f}).",
    )


def _soon(evaluation: Evaluation) -> Finding | None:
    gone = [time.gone.p50 for time in evaluation.times if time.gone.p50 is not None]
    starts = [time.starts.p50 for time in evaluation.times if time.starts.p50 is not None]
    latest = [time.gone.p95 for time in evaluation.times if time.gone.p95 is not None]
    if not gone or not starts:
        return None
    return Finding(
        f"{np.median(gone):.0f} ms",
        "after a flip the sound that it takes away is gone",
        f"Median over the switches of the time until it is 20 dB below what it contributed; 95 of "
        f"100 flips within {max(latest):.0f} ms, for the slowest switch. A sound that a flip adds "
        f"has half of its power after {np.median(starts):.0f} ms. The queue of a sound card comes "
        "on top.",
    )


def _returns(evaluation: Evaluation) -> Finding:
    song = evaluation.song
    planned, found = song.changes_planned, song.changes_found
    again = f"{song.repeated_bars} bars are" if song.repeated_bars != 1 else "One bar is"
    return Finding(
        f"{len(found & planned)} of {len(planned)}",
        "changes of theme are found in the sound of a state that is left alone",
        f"In {len(song.theme)} passes of the loop, and {len(found - planned)} elsewhere. Harmony "
        f"has a similarity of {song.within_sections:.2f} within a section, "
        f"{song.between_returns:.2f} where a theme returns and {song.between_themes:.2f} between "
        "themes. "
        f"{again if song.repeated_bars else 'No bar is'} repeated exactly.",
    )


def _level(evaluation: Evaluation) -> Finding:
    n_silent = len({render.bits for render in evaluation.silent_renders})
    silence = "No state is silent." if not n_silent else f"Silent or invalid states: {n_silent}."
    return Finding(
        f"±{evaluation.loudness_range_lu:.1f} LU",
        "around the median hold every render",
        f"{min(evaluation.loudness):.1f} to {max(evaluation.loudness):.1f} LUFS, true peaks up to "
        f"{evaluation.loudest_peak_db:.1f} dBTP. {silence}",
    )
