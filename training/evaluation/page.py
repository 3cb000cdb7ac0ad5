"""An audition as a page: a panel to flip, and all that was measured."""

import base64
import json
import platform
from importlib.metadata import version
from typing import Any

from markupsafe import Markup

from device.switches.bits import format_bits
from training.evaluation.charts import draw
from training.evaluation.effect_names import named_effects, panels, word
from training.evaluation.evaluate import Evaluation
from training.evaluation.release_gate import (
    LEAST_COHERENCE,
    LEAST_RECOGNISED,
    Threshold,
    thresholds,
)
from training.evaluation.renders import WRAP_SECONDS, Render, loop_seconds
from training.evaluation.summary import find
from training.evaluation.switch_effects import Switch
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
    Column("of one take"),
    Column("recognised", "%"),
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


def build(audition: Evaluation) -> str:
    """The whole page, as HTML."""
    sounds = _sounds(audition)
    states = _states(audition)
    n_sound_bytes = sum(len(state["sound"]) + len(state["picture"]) for state in states)
    packages = ("lofi-switchboard", "librosa", "numpy", "onnxruntime", "scipy")
    return render(
        "audition.html",
        title=f"The audition: {audition.card.title}",
        audition=audition,
        card=audition.card,
        findings=find(audition),
        charts=draw(audition),
        panel=_panel(audition, states),
        n_states=len(states),
        n_all_states=2**audition.card.n_switches,
        seconds=loop_seconds(audition.card),
        sounds=sounds,
        states_megabytes=n_sound_bytes / 1e6,
        gate_columns=_GATE_COLUMNS,
        gate=[[_gate_row(each) for each in thresholds(audition)]],
        switch_columns=_SWITCH_COLUMNS,
        switches=[[_switch_row(each) for each in audition.switches]],
        figure_columns=_FIGURE_COLUMNS,
        figures=_figure_groups(audition),
        state_columns=_STATE_COLUMNS,
        odd_states=[_odd_rows(audition)],
        versions=[f"{name} {version(name)}" for name in packages],
        machine=f"{platform.system()} on {platform.machine()}, Python {platform.python_version()}",
    )


# -- the panel ------------------------------------------------------------------------------


def _panel(audition: Evaluation, states: list[dict[str, Any]]) -> Markup:
    """JSON for the script of the page; safe inside a script element."""
    content = {
        "labels": audition.labels,
        "seconds": loop_seconds(audition.card),
        "wrap_seconds": WRAP_SECONDS,
        "sample_rate": SAMPLE_RATE,
        "states": states,
    }
    text = json.dumps(content, ensure_ascii=False, separators=(",", ":"))
    return Markup(text.replace("<", "\\u003c"))


def _states(audition: Evaluation) -> list[dict[str, Any]]:
    likeness, states = audition.likeness, audition.sweep.states
    return [
        {
            "bits": format_bits(bits),
            **_embedded(audition.takes[audition.seeds[0], bits]),
            "nearest": format_bits(states[likeness.nearest[number]]),
            "nearest_sd": round(float(likeness.nearest_distance[number]), 3),
            "place": [round(float(x), 4) for x in likeness.places[number]],
        }
        for number, bits in enumerate(states)
    ]


def _embedded(take: Render) -> dict[str, Any]:
    if take.clip is None:
        raise ValueError(f"state {take.bits} of seed {take.seed} was played for nobody")
    return {
        "lufs": round(take.lufs, 1),
        "true_peak_db": round(take.true_peak_db, 1),
        "dead": take.is_dead,
        "sound": base64.b64encode(take.clip.sound).decode("ascii"),
        "picture": base64.b64encode(take.clip.picture).decode("ascii"),
    }


def _sounds(audition: Evaluation) -> list[Sound]:
    """Held-out loops, each followed by its round trip."""
    pairs = audition.reference.sounds if audition.reference else ()
    gain = common_gain([samples for pair in pairs for samples in pair])
    notes = ("as it was made", "its magnitudes through the box's inversion, no network")
    return [
        sound(f"held out {number}, {kind}", samples * samples.dtype.type(gain), SAMPLE_RATE, note=n)
        for number, pair in enumerate(pairs, 1)
        for kind, n, samples in zip(("original", "round trip"), notes, pair, strict=True)
    ]


# -- tables ---------------------------------------------------------------------------------


def _gate_row(threshold: Threshold) -> tuple[str, list[str]]:
    kind = {"met": "first", "missed": "second"}.get(threshold.verdict, "")
    cells = (threshold.name, threshold.part, threshold.measured, threshold.expected)
    return kind, [*map(typeset, cells), threshold.verdict]


def _switch_row(switch: Switch) -> tuple[str, list[str]]:
    named = named_effects(switch)
    effects = ", ".join(f"{word(effect)} ({effect.change:+.1f} sd)" for effect in named)
    good = switch.coherence >= LEAST_COHERENCE and switch.recognised >= LEAST_RECOGNISED
    return "first" if good else "second", [
        f"{switch.number + 1} {switch.label}",
        typeset(effects),
        panels(min(effect.share for effect in named)),
        f"{switch.moves:.2f}",
        f"{switch.coherence:.2f}",
        f"{switch.coherence_of_takes:.2f}",
        f"{100 * switch.recognised:.1f}",
    ]


def _figure_groups(audition: Evaluation) -> list[list[tuple[str, list[str]]]]:
    if audition.reference is None:
        return []
    ours = {each.name: each for each in audition.comparisons}
    alone = {each.name: each for each in audition.inversion_comparisons}
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


def _odd_rows(audition: Evaluation) -> list[tuple[str, list[str]]]:
    """States that are dead, and pairs that are the same to a listener."""
    dead = {take.bits: take for take in audition.dead}
    rows = [
        _odd_row("second", take, "dead" if take.is_finite else "not finite")
        for _, take in sorted(dead.items())
    ]
    for one, other in audition.likeness.indistinguishable_pairs:
        take = audition.takes[audition.seeds[0], audition.sweep.states[one]]
        twin = format_bits(audition.sweep.states[other])
        rows.append(_odd_row("first", take, f"sounds like {twin}"))
    return rows


def _odd_row(kind: str, take: Render, what: str) -> tuple[str, list[str]]:
    level, silence = typeset(f"{take.lufs:.1f}"), f"{100 * take.silence_share:.0f}"
    return kind, [format_bits(take.bits), what, level, silence]
