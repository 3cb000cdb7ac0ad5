"""What an audition found, in a few cards, by its figures alone."""

from collections.abc import Callable

from training.evaluation.evaluate import Evaluation
from training.evaluation.release_gate import LEAST_COHERENCE, thresholds
from training.reporting.text import Finding, listing, stated


def find(audition: Evaluation) -> list[Finding]:
    """Every finding that there are figures for."""
    asked: list[Callable[[Evaluation], Finding | None]] = [
        _gate,
        _coherent,
        _recognised,
        _against_music,
        _apart,
        _level,
    ]
    return stated(ask(audition) for ask in asked)


def _gate(audition: Evaluation) -> Finding:
    conditions = [each for each in thresholds(audition) if each.is_measured]
    missed = [each for each in conditions if not each.is_met]
    text = "Nothing that was measured stands against a release."
    if missed:
        text = f"Missed: {listing([f'{each.name} ({each.measured})' for each in missed])}."
    if audition.reference is None:
        text += " There was no held-out music to hold it against."
    return Finding(
        f"{len(conditions) - len(missed)} of {len(conditions)}",
        "conditions of the release gate are met",
        text,
    )


def _coherent(audition: Evaluation) -> Finding:
    switches = sorted(audition.switches, key=lambda switch: -switch.coherence)
    n_coherent = sum(switch.coherence >= LEAST_COHERENCE for switch in switches)
    best, worst = switches[0], switches[-1]
    return Finding(
        f"{n_coherent} of {len(switches)}",
        "switches do the same whatever the others are",
        f"Coherence is the share of a change that is always the same; {LEAST_COHERENCE:g} is asked "
        f"for. Most in switch {best.number + 1}, {best.label} ({best.coherence:.2f}), least in "
        f"switch {worst.number + 1}, {worst.label} ({worst.coherence:.2f}).",
    )


def _recognised(audition: Evaluation) -> Finding:
    least = min(audition.switches, key=lambda switch: switch.recognised)
    return Finding(
        f"{100 * least.recognised:.1f} %",
        "of takes tell even the least clear switch by their sound",
        f"Of switch {least.number + 1}, {least.label}. A linear recogniser learned from takes in "
        "other variations and knows nothing but the figures below; 50 % would be guessing.",
    )


def _against_music(audition: Evaluation) -> Finding | None:
    if audition.reference is None:
        return None
    ours, alone = audition.distances, audition.inversion_distances
    listed = listing([f"{group} {ours[group]:.2f} ({alone[group]:.2f})" for group in ours])
    halves = audition.noise_floor["sharp"]
    return Finding(
        f"{ours['sharp']:.2f} sd",
        "in sharpness from music it has never heard",
        f"Mean distances, and in brackets what inversion alone has to answer for: {listed}. One "
        f"half of that music is {halves:.2f} sd in sharpness from the other.",
    )


def _apart(audition: Evaluation) -> Finding:
    likeness = audition.likeness
    one_flip = likeness.by_flips[0]
    n_twins = len(likeness.indistinguishable_pairs)
    same = f"{n_twins} pairs of states are" if n_twins != 1 else "One pair of states is"
    return Finding(
        f"{one_flip.middle:.2f} sd",
        "is what one flip moves the sound",
        f"Two takes of one state differ by {likeness.between_takes:.2f} sd. The two nearest states "
        f"are {likeness.least_distance:.2f} sd apart; {same if n_twins else 'no pair is'} nearer "
        f"than half of what takes differ by, {likeness.twin_distance:.2f} sd.",
    )


def _level(audition: Evaluation) -> Finding:
    dead = len({take.bits for take in audition.dead})
    alive = "Every state sounds." if not dead else f"States that are silent or broken: {dead}."
    return Finding(
        f"±{audition.loudness_range_lu:.1f} LU",
        "around the middle hold every take",
        f"{min(audition.loudness):.1f} to {max(audition.loudness):.1f} LUFS, true peaks up to "
        f"{audition.loudest_peak_db:.1f} dBTP. {alive}",
    )
