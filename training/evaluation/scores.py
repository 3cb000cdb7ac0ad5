"""Results of an evaluation: a few scores for the model's card, every figure for JSON."""

from dataclasses import asdict
from typing import Any

from device.switches.bits import format_bits
from training.evaluation.effect_names import sentence
from training.evaluation.evaluate import Evaluation
from training.evaluation.release_gate import thresholds
from training.evaluation.renders import loop_seconds
from training.evaluation.song import Song
from training.metrics.audio_metrics import METRIC_NAMES

# Source of a comparison of pitches → prefix of its scores on the card.
_SOURCES = {"model": "audition", "inversion": "inversion"}


def scores(evaluation: Evaluation) -> dict[str, float]:
    """Scores for the model's card; the names hold the units."""
    switches, similarity, gate = (
        evaluation.switches,
        evaluation.state_similarity,
        thresholds(evaluation),
    )
    values = {
        **{f"audition_{group}_sd": value for group, value in evaluation.distances.items()},
        **{f"inversion_{group}_sd": v for group, v in evaluation.inversion_distances.items()},
        **{
            f"{_SOURCES[source]}_pitch_{name}": value
            for source, each in evaluation.pitch_comparisons.items()
            if source in _SOURCES
            for name, value in asdict(each).items()
        },
        "audition_least_coherence": min(switch.coherence for switch in switches),
        "audition_least_recognised": min(switch.recognised for switch in switches),
        "audition_least_lufs": min(evaluation.loudness),
        "audition_most_lufs": max(evaluation.loudness),
        "audition_loudest_peak_dbtp": evaluation.loudest_peak_db,
        "audition_nearest_states_sd": similarity.least_distance,
        "audition_between_takes_sd": similarity.between_renders,
        "audition_dead_takes": len(evaluation.silent_renders),
        "audition_similarity_within_sections": evaluation.song.within_sections,
        "audition_similarity_of_themes": evaluation.song.between_themes,
        "audition_conditions_met": sum(threshold.is_met for threshold in gate),
        "audition_conditions": sum(threshold.is_measured for threshold in gate),
    }
    return {name: float(f"{value:.4g}") for name, value in values.items()}


def to_dict(evaluation: Evaluation) -> dict[str, Any]:
    """Every measured value, for JSON."""
    states = [format_bits(bits) for bits in evaluation.sweep.states]
    similarity, reference = evaluation.state_similarity, evaluation.reference
    return {
        "title": evaluation.card.title,
        "sha256": evaluation.sha256,
        "sha256_written": evaluation.sha256_written,
        "labels": list(evaluation.labels),
        "seeds": list(evaluation.seeds),
        "n_states": len(states),
        "is_sample": evaluation.is_sample,
        "seconds": loop_seconds(evaluation.card),
        "gate": [
            {**asdict(each), "expected": each.expected, "is_met": each.is_met}
            for each in thresholds(evaluation)
        ],
        "scores": scores(evaluation),
        "held_out": reference and reference.music.source,
        "distances": evaluation.distances,
        "inversion_distances": evaluation.inversion_distances,
        "halves_distances": evaluation.noise_floor,
        "pitches": {name: asdict(each) for name, each in evaluation.pitch_comparisons.items()},
        "figures": [asdict(each) for each in evaluation.comparisons],
        "inversion_figures": [asdict(each) for each in evaluation.inversion_comparisons],
        "switches": [
            {
                "legend": sentence(switch),
                **asdict(switch),
                "agreement": asdict(agreement),
                "time_to_sound": asdict(time),
            }
            for switch, agreement, time in zip(
                evaluation.switches, evaluation.agreements, evaluation.times, strict=True
            )
        ],
        "mean_agreement": asdict(evaluation.mean_agreement),
        "distant_agreement": asdict(evaluation.distant_agreement),
        "between_takes_sd": similarity.between_renders,
        "twins": [
            [states[one], states[other]] for one, other in similarity.indistinguishable_pairs
        ],
        "song": _song(evaluation.song),
        "by_flips": [asdict(row) for row in similarity.by_flips],
        "map_shows": similarity.shown,
        "states": [_state(evaluation, number) for number in range(len(states))],
    }


def _song(song: Song) -> dict[str, Any]:
    return {
        "bits": format_bits(song.bits),
        "seed": song.seed,
        "n_passes": len(song.theme),
        "themes": song.theme.tolist(),
        "similarity_within_sections": song.within_sections,
        "similarity_of_returns": song.between_returns,
        "similarity_of_themes": song.between_themes,
        "novelty": song.novelty.tolist(),
        "changes_found": sorted(song.changes_found),
        "changes_planned": sorted(song.changes_planned),
        "repeated_bars": song.repeated_bars,
        "drift_sd": song.drift,
    }


def _state(evaluation: Evaluation, number: int) -> dict[str, Any]:
    states, similarity = evaluation.sweep.states, evaluation.state_similarity
    renders = [render for render in evaluation.renders.values() if render.bits == states[number]]
    return {
        "bits": format_bits(states[number]),
        "nearest": format_bits(states[similarity.nearest[number]]),
        "nearest_sd": float(similarity.nearest_distance[number]),
        "place": similarity.places[number].tolist(),
        "takes": [
            {
                "seed": render.seed,
                "is_finite": render.is_finite,
                "is_dead": render.is_silent,
                **dict(zip(METRIC_NAMES, render.figures.tolist(), strict=True)),
            }
            for render in sorted(renders, key=lambda render: render.seed)
        ],
    }
