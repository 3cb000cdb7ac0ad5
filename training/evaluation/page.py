"""HTML page of an evaluation: switches that play the states, and every measured value."""

import base64
import json
import platform
from importlib.metadata import version
from typing import Any

from markupsafe import Markup

from device.switches.bits import format_bits
from training.evaluation.charts import draw
from training.evaluation.effect_names import consistency, named_effects, word
from training.evaluation.evaluate import Evaluation
from training.evaluation.flip_agreement import Agreement
from training.evaluation.release_gate import (
    LEAST_COHERENCE,
    Threshold,
    least_recognised,
    thresholds,
)
from training.evaluation.renders import WRAP_SECONDS, Render, loop_seconds
from training.evaluation.summary import find
from training.evaluation.switch_effects import Switch
from training.evaluation.time_to_sound import TimeToSound
from training.metrics.audio_metrics import GROUPS
from training.metrics.comparison import Comparison
from training.metrics.spectra import SAMPLE_RATE
from training.reporting.html import Column, Sound, common_gain, render, sound
from training.reporting.text import typeset

_SWITCH_COLUMNS = [
    Column("switch", is_number=False),
    Column("on, it is", is_number=False),
    Column("", is_number=False),
    Column("moves", "sd"),
    Column("coherence"),
    Column("of one render"),
    Column("recognised", "%"),
    Column("harmony", "stays"),
    Column("rhythm", "stays"),
]
_TIME_COLUMNS = [
    Column("switch", is_number=False),
    Column("its sound is of", is_number=False),
    Column("gone", "ms"),
    Column("95 of 100", "within ms"),
    Column("flips"),
    Column("starts", "ms"),
    Column("95 of 100", "within ms"),
    Column("flips"),
    Column("from a beat", "ms"),
    Column("95 of 100", "within ms"),
    Column("flips"),
    Column("from a bar", "ms"),
    Column("95 of 100", "within ms"),
    Column("flips"),
]
_GATE_COLUMNS = [
    Column("condition", is_number=False),
    Column("part", is_number=False),
    Column("found"),
    Column("expected"),
    Column("", is_number=False),
]
_FIGURE_COLUMNS = [
    Column("figure", is_number=False),
    Column("family", is_number=False),
    Column("held out", "median"),
    Column("inversion", "median"),
    Column("model", "median"),
    Column("inversion", "shift, sd"),
    Column("model", "shift, sd"),
    Column("inversion", "distance, sd"),
    Column("model", "distance, sd"),
]
_STATE_COLUMNS = [
    Column("state", is_number=False),
    Column("what", is_number=False),
    Column("loudness", "LUFS"),
    Column("silence", "% of the time"),
]


def build(evaluation: Evaluation) -> str:
    """The whole page, as HTML."""
    sounds = _sounds(evaluation)
    states = _states(evaluation)
    n_sound_bytes = sum(len(state["sound"]) + len(state["picture"]) for state in states)
    packages = ("lofi-switchboard", "librosa", "numpy", "onnxruntime", "scipy")
    return render(
        "audition.html",
        title=f"Evaluation: {evaluation.card.title}",
        evaluation=evaluation,
        card=evaluation.card,
        findings=find(evaluation),
        charts=draw(evaluation),
        player=_player(evaluation, states),
        n_states=len(states),
        n_all_states=2**evaluation.card.n_switches,
        seconds=loop_seconds(evaluation.card),
        song=evaluation.song,
        song_bits=format_bits(evaluation.song.bits),
        sounds=sounds,
        states_megabytes=n_sound_bytes / 1e6,
        gate_columns=_GATE_COLUMNS,
        gate=[[_gate_row(each) for each in thresholds(evaluation)]],
        switch_columns=_SWITCH_COLUMNS,
        switches=[
            [
                _switch_row(*each, least_recognised(evaluation))
                for each in zip(evaluation.switches, evaluation.agreements, strict=True)
            ]
        ],
        time_columns=_TIME_COLUMNS,
        times=[
            [_time_row(*each) for each in zip(evaluation.labels, evaluation.times, strict=True)]
        ],
        distant=evaluation.distant_agreement,
        figure_columns=_FIGURE_COLUMNS,
        figures=_figure_groups(evaluation),
        state_columns=_STATE_COLUMNS,
        odd_states=[_odd_rows(evaluation)],
        versions=[f"{name} {version(name)}" for name in packages],
        machine=f"{platform.system()} on {platform.machine()}, Python {platform.python_version()}",
    )


# -- the switches of the page ---------------------------------------------------------------


def _player(evaluation: Evaluation, states: list[dict[str, Any]]) -> Markup:
    """JSON for the script of the page; safe inside a script element."""
    content = {
        "labels": evaluation.labels,
        "seconds": loop_seconds(evaluation.card),
        "wrap_seconds": WRAP_SECONDS,
        "sample_rate": SAMPLE_RATE,
        "states": states,
    }
    text = json.dumps(content, ensure_ascii=False, separators=(",", ":"))
    return Markup(text.replace("<", "\\u003c"))


def _states(evaluation: Evaluation) -> list[dict[str, Any]]:
    similarity, states = evaluation.state_similarity, evaluation.sweep.states
    return [
        {
            "bits": format_bits(bits),
            **_embedded(evaluation.renders[evaluation.seeds[0], bits]),
            "nearest": format_bits(states[similarity.nearest[number]]),
            "nearest_sd": round(float(similarity.nearest_distance[number]), 3),
            "place": [round(float(x), 4) for x in similarity.places[number]],
        }
        for number, bits in enumerate(states)
    ]


def _embedded(state_render: Render) -> dict[str, Any]:
    if state_render.clip is None:
        raise ValueError(
            f"state {state_render.bits} of seed {state_render.seed}: found no sound, expected one"
        )
    return {
        "lufs": round(state_render.lufs, 1),
        "true_peak_db": round(state_render.true_peak_db, 1),
        "silent": state_render.is_silent,
        "sound": base64.b64encode(state_render.clip.sound).decode("ascii"),
        "picture": base64.b64encode(state_render.clip.picture).decode("ascii"),
    }


def _sounds(evaluation: Evaluation) -> list[Sound]:
    """Held-out loops, each followed by its round trip."""
    pairs = evaluation.reference.sounds if evaluation.reference else ()
    gain = common_gain([samples for pair in pairs for samples in pair])
    notes = ("as it was made", "its magnitudes through the device's inversion, no network")
    return [
        sound(f"held out {number}, {kind}", samples * samples.dtype.type(gain), SAMPLE_RATE, note=n)
        for number, pair in enumerate(pairs, 1)
        for kind, n, samples in zip(("original", "round trip"), notes, pair, strict=True)
    ]


# -- tables ---------------------------------------------------------------------------------


def _gate_row(threshold: Threshold) -> tuple[str, list[str]]:
    kind = {"met": "first", "missed": "second"}.get(threshold.status, "")
    cells = (threshold.name, threshold.part, threshold.measured, threshold.expected)
    return kind, [*map(typeset, cells), threshold.status]


def _switch_row(
    switch: Switch, agreement: Agreement, least_recognised: float
) -> tuple[str, list[str]]:
    named = named_effects(switch)
    effects = ", ".join(f"{word(effect)} ({effect.change:+.1f} sd)" for effect in named)
    good = switch.coherence >= LEAST_COHERENCE and switch.recognised >= least_recognised
    return "first" if good else "second", [
        f"{switch.number + 1} {switch.label}",
        typeset(effects),
        consistency(min(effect.share for effect in named)),
        f"{switch.moves:.2f}",
        f"{switch.coherence:.2f}",
        f"{switch.coherence_of_takes:.2f}",
        f"{100 * switch.recognised:.1f}",
        f"{agreement.harmony:.2f}",
        f"{agreement.rhythm:.2f}",
    ]


def _time_row(label: str, time: TimeToSound) -> tuple[str, list[str]]:
    cells = [label, "on" if time.is_of_on else "off"]
    for each in (time.gone, time.starts, time.beat, time.bar):
        cells += ["–" if ms is None else f"{ms:.0f}" for ms in (each.p50, each.p95)]
        cells.append(str(each.n))
    return "", cells


def _figure_groups(evaluation: Evaluation) -> list[list[tuple[str, list[str]]]]:
    if evaluation.reference is None:
        return []
    ours = {each.name: each for each in evaluation.comparisons}
    alone = {each.name: each for each in evaluation.inversion_comparisons}
    return [
        [_figure_row(group, ours[name], alone[name]) for name in names]
        for group, names in GROUPS.items()
    ]


def _figure_row(group: str, ours: Comparison, alone: Comparison) -> tuple[str, list[str]]:
    return "", [
        ours.name,
        group,
        *(typeset(f"{median:.4g}") for median in (ours.reference, alone.candidate, ours.candidate)),
        *(typeset(f"{each.shift:+.2f}") for each in (alone, ours)),
        *(f"{each.distance:.2f}" for each in (alone, ours)),
    ]


def _odd_rows(evaluation: Evaluation) -> list[tuple[str, list[str]]]:
    """Silent or invalid states, and indistinguishable pairs."""
    silent = {state_render.bits: state_render for state_render in evaluation.silent_renders}
    rows = [
        _odd_row("second", state_render, "silent" if state_render.is_finite else "not finite")
        for _, state_render in sorted(silent.items())
    ]
    for one, other in evaluation.state_similarity.indistinguishable_pairs:
        state_render = evaluation.renders[evaluation.seeds[0], evaluation.sweep.states[one]]
        twin = format_bits(evaluation.sweep.states[other])
        rows.append(_odd_row("first", state_render, f"sounds like {twin}"))
    return rows


def _odd_row(kind: str, state_render: Render, what: str) -> tuple[str, list[str]]:
    level, silence = typeset(f"{state_render.lufs:.1f}"), f"{100 * state_render.silence_share:.0f}"
    return kind, [format_bits(state_render.bits), what, level, silence]
