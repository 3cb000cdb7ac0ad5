"""What an audition leaves behind: few scores for the model's card, every figure for JSON."""

from dataclasses import asdict
from typing import Any

from device.switches.bits import format_bits
from training.evaluation.effect_names import sentence
from training.evaluation.evaluate import Evaluation
from training.evaluation.release_gate import thresholds
from training.evaluation.renders import loop_seconds
from training.metrics.audio_metrics import NAMES


def scores(audition: Evaluation) -> dict[str, float]:
    """What goes into the model's card; units are in the names."""
    switches, likeness, gate = audition.switches, audition.likeness, thresholds(audition)
    found = {
        **{f"audition_{group}_sd": value for group, value in audition.distances.items()},
        **{f"inversion_{group}_sd": v for group, v in audition.inversion_distances.items()},
        "audition_least_coherence": min(switch.coherence for switch in switches),
        "audition_least_recognised": min(switch.recognised for switch in switches),
        "audition_least_lufs": min(audition.loudness),
        "audition_most_lufs": max(audition.loudness),
        "audition_loudest_peak_dbtp": audition.loudest_peak_db,
        "audition_nearest_states_sd": likeness.least_distance,
        "audition_between_takes_sd": likeness.between_takes,
        "audition_dead_takes": len(audition.dead),
        "audition_conditions_met": sum(threshold.is_met for threshold in gate),
        "audition_conditions": sum(threshold.is_measured for threshold in gate),
    }
    return {name: float(f"{value:.4g}") for name, value in found.items()}


def to_dict(audition: Evaluation) -> dict[str, Any]:
    """Every figure."""
    states = [format_bits(bits) for bits in audition.sweep.states]
    likeness, reference = audition.likeness, audition.reference
    return {
        "title": audition.card.title,
        "sha256": audition.sha256,
        "sha256_written": audition.sha256_written,
        "labels": list(audition.labels),
        "seeds": list(audition.seeds),
        "n_states": len(states),
        "is_sample": audition.is_sample,
        "seconds": loop_seconds(audition.card),
        "gate": [
            {**asdict(each), "expected": each.expected, "is_met": each.is_met}
            for each in thresholds(audition)
        ],
        "scores": scores(audition),
        "held_out": reference and reference.music.source,
        "distances": audition.distances,
        "inversion_distances": audition.inversion_distances,
        "halves_distances": audition.noise_floor,
        "figures": [asdict(each) for each in audition.comparisons],
        "inversion_figures": [asdict(each) for each in audition.inversion_comparisons],
        "switches": [{"legend": sentence(s), **asdict(s)} for s in audition.switches],
        "between_takes_sd": likeness.between_takes,
        "twins": [[states[one], states[other]] for one, other in likeness.indistinguishable_pairs],
        "by_flips": [asdict(row) for row in likeness.by_flips],
        "map_shows": likeness.shown,
        "states": [_state(audition, number) for number in range(len(states))],
    }


def _state(audition: Evaluation, number: int) -> dict[str, Any]:
    states, likeness = audition.sweep.states, audition.likeness
    takes = [take for take in audition.takes.values() if take.bits == states[number]]
    return {
        "bits": format_bits(states[number]),
        "nearest": format_bits(states[likeness.nearest[number]]),
        "nearest_sd": float(likeness.nearest_distance[number]),
        "place": likeness.places[number].tolist(),
        "takes": [
            {
                "seed": take.seed,
                "is_finite": take.is_finite,
                "is_dead": take.is_dead,
                **dict(zip(NAMES, take.figures.tolist(), strict=True)),
            }
            for take in sorted(takes, key=lambda take: take.seed)
        ],
    }
