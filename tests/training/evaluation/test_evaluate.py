"""An evaluation renders every state, measures the switches, and applies the release gate."""

import dataclasses
import itertools
import json
import re
import xml.etree.ElementTree as ET

import numpy as np
import pytest
import soundfile
from click.testing import CliRunner

from device.model.contract import ModelCard
from device.model.network import Network
from device.model.summary import read_card
from tests.support import tiny_model as tiny
from training.commands.evaluate import audition as command
from training.corpus import reader as corpus
from training.corpus.format import HELD_OUT
from training.corpus.generator.corpus_writer import (
    is_held_out,
    render_with_margins,
    write_studio_corpus,
)
from training.evaluation.effect_names import WORDS, named_effects, names_by_sound, sentence
from training.evaluation.embed_scores import embed_scores
from training.evaluation.evaluate import Plan, evaluate
from training.evaluation.label_sheet import build as build_sheet
from training.evaluation.label_sheet import fit
from training.evaluation.page import build
from training.evaluation.reference_music import (
    Loop,
    LoopJob,
    Music,
    NoHeldOutMusic,
    Reference,
    find_music,
    measure_loop,
    round_trip,
)
from training.evaluation.release_gate import GateMissed, Threshold, check, thresholds
from training.evaluation.renders import WRAP_SECONDS, RenderJob, loop_seconds, render_state
from training.evaluation.scores import scores
from training.evaluation.state_similarity import compare_states, pairwise, place_on_map
from training.evaluation.switch_effects import (
    Effect,
    Sweep,
    Switch,
    coherence,
    measure_switches,
    recognise,
)
from training.metrics.audio_metrics import GROUPS, NAMES
from training.metrics.spectra import SAMPLE_RATE

N_FIGURES = len(NAMES)


@pytest.fixture(scope="module")
def small_model(tmp_path_factory):
    """Two switches: four states are soon rendered."""
    return tiny.build(tmp_path_factory.mktemp("model") / "small.onnx", n_switches=2)


@pytest.fixture(scope="module")
def evaluation(small_model):
    return evaluate(Plan(small_model, (1, 2), music=None), on_progress=lambda *_: None)


@pytest.fixture(scope="module")
def compared(evaluation):
    """The same, compared with synthetic reference figures."""
    figures = np.tile(evaluation.sweep.independent_renders, (4, 1))
    rng = np.random.default_rng(0)
    some = [figures + rng.standard_normal(figures.shape) for _ in range(2)]
    sounds = ((np.zeros(4000, np.float32), np.ones(4000, np.float32)),)
    return dataclasses.replace(
        evaluation, reference=Reference(Music("some music", ()), *some, sounds)
    )


def sweep_of(effects, *, n_seeds=3, spread=0.0, interaction=0.0, n_switches=3):
    """Renders of a model whose switches add `effects`, (n_switches, n_figures), and interact."""
    states = tuple(itertools.product((False, True), repeat=n_switches))
    bits = np.array(states, float)
    rng = np.random.default_rng(0)
    alone = rng.standard_normal((len(states), N_FIGURES))
    centres = bits @ effects + interaction * alone
    noise = spread * rng.standard_normal((n_seeds + 1, len(states), N_FIGURES))
    return Sweep(states, centres + noise[1:], centres + noise[0])


def separate_effects(n_switches=3):
    """Every figure depends on one switch."""
    return np.array([np.arange(N_FIGURES) % n_switches == n for n in range(n_switches)], float)


# -- renders -----------------------------------------------------------------------------------


def test_a_render_is_one_loop_long_and_loops_without_a_seam(small_model, tmp_path):
    render = render_state(RenderJob(small_model, (True, False), 1, is_shown=True))
    (tmp_path / "render.mp3").write_bytes(render.clip.sound)
    samples, sample_rate = soundfile.read(tmp_path / "render.mp3")
    n_loop = round(loop_seconds(Network.open(small_model).card) * sample_rate)
    n_wrap = round(WRAP_SECONDS * sample_rate)
    assert sample_rate == SAMPLE_RATE
    assert len(samples) == pytest.approx(n_loop + 2 * n_wrap, abs=1200)
    # Anywhere near the seam it is what it is one loop earlier.
    here, there = samples[n_loop : n_loop + n_wrap], samples[:n_wrap]
    assert np.corrcoef(here, there)[0, 1] > 0.99
    assert render.clip.picture[8:12] == b"WEBP"


def test_renders_of_one_seed_are_equal_and_of_another_differ(evaluation, small_model):
    bits = (True, True)
    again = render_state(RenderJob(small_model, bits, 1, is_shown=False))
    assert np.array_equal(again.figures, evaluation.renders[1, bits].figures)
    assert not np.array_equal(again.figures, evaluation.renders[2, bits].figures)
    assert again.clip is None


def test_every_state_is_rendered_once_in_a_variation_of_its_own(evaluation):
    alone = {seed: bits for seed, bits in evaluation.renders if seed not in evaluation.seeds}
    assert tuple(alone.values()) == evaluation.sweep.states
    assert np.array_equal(
        evaluation.sweep.independent_renders[3], evaluation.renders[6, (True, True)].figures
    )


def test_a_silent_or_not_finite_render_is_silent(evaluation):
    render = next(iter(evaluation.renders.values()))
    figures = render.figures.copy()
    figures[NAMES.index("silence_share")] = 1.0
    assert not render.is_silent
    assert dataclasses.replace(render, figures=figures).is_silent
    assert dataclasses.replace(render, is_finite=False).is_silent


# -- effects of switches ------------------------------------------------------------------------


def test_switches_that_only_add_up_are_coherent_and_recognised():
    switches = measure_switches(sweep_of(separate_effects(), spread=0.01), ("a", "b", "c"))
    assert all(switch.coherence > 0.99 for switch in switches)
    assert all(switch.recognised == 1 for switch in switches)
    strongest = switches[1].effects[: len(NAMES[1::3])]
    assert {effect.name for effect in strongest} == set(NAMES[1::3])
    assert all(effect.share == 1 and effect.change > 1.9 for effect in strongest)


def test_switches_whose_effect_depends_on_the_others_are_not_coherent():
    changes = np.random.default_rng(0).standard_normal((2000, 5))
    assert coherence(changes) < 0.01
    assert coherence(np.ones((7, 5))) == pytest.approx(1)
    assert coherence(np.zeros((7, 5))) == 0
    interacting = measure_switches(sweep_of(separate_effects(), interaction=2.0), ("a", "b", "c"))
    assert max(switch.coherence for switch in interacting) < 0.6


def test_variation_lowers_the_coherence_of_single_renders_more_than_of_their_mean():
    found = measure_switches(sweep_of(separate_effects(), spread=0.5, n_seeds=8), ("a", "b", "c"))
    assert all(switch.coherence > switch.coherence_of_takes + 0.1 for switch in found)


def test_a_switch_without_effect_is_not_recognised():
    effects = separate_effects(6)
    effects[2] = 0
    found = recognise(sweep_of(effects, spread=1.0, n_switches=6))
    assert found[2] < 0.7
    assert np.delete(found, 2).min() > 0.7


def test_the_description_of_a_switch_names_its_strongest_effects():
    effects = (
        Effect("centroid", 1.4, 1.0),
        Effect("rolloff95", 1.3, 1.0),
        Effect("onset_rate", -1.1, 0.95),
        Effect("lufs", 0.2, 0.5),
    )
    switch = Switch(0, "x", 1.0, 0.9, 0.8, 1.0, effects)
    assert sentence(switch) == (
        "on: brighter (+1.4 sd), sparser (-1.1 sd); the same in 9 of 10 states"
    )
    weak = dataclasses.replace(switch, effects=(Effect("lufs", 0.2, 1.0),))
    assert sentence(weak) == "on: louder (+0.2 sd); the same in every state"
    assert len(named_effects(weak)) == 1


def test_every_figure_has_a_word_that_fits_a_label():
    assert set(WORDS) == set(NAMES)
    assert all(1 <= len(word) <= 20 for pair in WORDS.values() for word in pair)


def test_no_two_switches_get_one_name():
    strong, weak = Effect("centroid", 2.0, 1.0), Effect("centroid", 1.0, 1.0)
    other = Effect("lufs", 0.5, 1.0)
    switches = [
        Switch(n, "", 1, 1, 1, 1, effects)
        for n, effects in enumerate([(weak, other), (strong, other)])
    ]
    assert names_by_sound(switches) == ("louder", "brighter")


# -- distances between states ----------------------------------------------------------------


def test_a_map_of_points_in_a_plane_keeps_their_distances():
    points = np.random.default_rng(0).standard_normal((12, 2))
    places, shown = place_on_map(pairwise(points))
    # A mean over two figures there, a sum over two axes here.
    assert np.sqrt(2) * pairwise(places) == pytest.approx(pairwise(points))
    assert shown == pytest.approx(1)


def test_states_nearer_than_their_renders_are_indistinguishable():
    effects = separate_effects()
    effects[1] *= 0.02
    found = compare_states(sweep_of(effects, spread=0.3, n_seeds=16))
    assert len(found.indistinguishable_pairs) == 4
    assert all(abs(one - other) == 2 for one, other in found.indistinguishable_pairs)
    assert compare_states(sweep_of(separate_effects(), spread=0.1)).indistinguishable_pairs == []


def test_distance_grows_with_the_flips_where_effects_add_up():
    rows = compare_states(sweep_of(separate_effects(), spread=0.01)).by_flips
    assert [(row.n_flips, row.n_pairs) for row in rows] == [(1, 12), (2, 12), (3, 4)]
    assert rows[0].middle < rows[1].middle < rows[2].middle


# -- held-out music --------------------------------------------------------------------------


def card_of(**provenance):
    return dataclasses.replace(tiny.describe(tiny.Sizes()), provenance=provenance)


STUDIO = {"source": "studio", "seed": 7, "licences": ["CC0-1.0"], "n_loops": 6000}


def test_a_model_of_the_studio_brings_its_own_held_out_music_back(tmp_path):
    seed = next(seed for seed in itertools.count() if is_held_out(seed, 0))
    write_studio_corpus(tmp_path / "c", seed=seed, minutes=0.2)
    written = corpus.Corpus.open(tmp_path / "c")
    music = find_music(card_of(corpus=STUDIO | {"seed": seed}), None, 3)
    assert all(is_held_out(seed, loop.index) for loop in music.loops)
    assert music.loops[0].index == written.indices(HELD_OUT)[0] == 0
    np.testing.assert_allclose(render_with_margins(seed, 0), written.audio(0), atol=1e-4)


@pytest.mark.parametrize(
    "found",
    [
        None,
        "studio",
        {"source": "folder"},
        STUDIO | {"licences": ["unknown"]},
        {"source": "studio"},
    ],
)
def test_music_that_cannot_be_rendered_again_is_not_replaced(found):
    assert find_music(card_of(corpus=found), None, 3) is None


def test_a_corpus_that_holds_out_nothing_is_refused(tmp_path):
    write_studio_corpus(tmp_path / "c", seed=1, minutes=0.2)
    with pytest.raises(NoHeldOutMusic, match="found 0 held-out loops, expected 8"):
        find_music(card_of(), tmp_path / "c", 64)


def test_a_round_trip_is_aligned_and_near():
    half = SAMPLE_RATE // 2
    music = 0.1 * np.sin(0.05 * np.arange(2 * half), dtype=np.float32)
    music[:half] = 0
    for sample_rate in (SAMPLE_RATE, 16_000):
        job = LoopJob(Loop(None, 1, 0), 1024, 256, sample_rate, is_shown=False)
        rebuilt = round_trip(music, job)
        assert rebuilt.shape == music.shape
        assert np.abs(rebuilt[: half - 1024]).max() < 1e-3
        assert rebuilt[half + 1024 : -1024].std() == pytest.approx(0.1 / np.sqrt(2), rel=0.05)


def test_a_loop_and_its_round_trip_are_both_measured():
    found = measure_loop(LoopJob(Loop(None, 7, 3), 1024, 256, SAMPLE_RATE, is_shown=True))
    original, rebuilt = found.sounds
    assert len(original) == len(rebuilt) == 12 * SAMPLE_RATE
    assert not np.array_equal(found.figures, found.rebuilt_figures)
    apart = np.abs(found.figures - found.rebuilt_figures)[NAMES.index("lufs")]
    assert apart < 0.3


# -- the gate --------------------------------------------------------------------------------


def test_the_gate_names_every_condition_that_is_missed():
    met = Threshold("defects", "peak", -2.0, -1.0, "dBTP", is_least=False)
    too_much = Threshold("likeness", "distance, sharp", 1.234, 1.1, "sd", is_least=False)
    too_few = Threshold("switches", "coherent switches", 5, 6, "", is_least=True)
    unknown = Threshold("likeness", "shift", None, 0.8, "sd", is_least=False)
    check([met], "m")
    with pytest.raises(GateMissed) as caught:
        check([met, too_much, too_few, unknown], "m")
    assert str(caught.value).startswith("model 'm' misses 3 of 4 conditions of the gate: ")
    for part in (
        "distance, sharp: found 1.23 sd, expected at most 1.10 sd",
        "coherent switches: found 5, expected at least 6",
        "shift: found not measured, expected at most 0.80 sd",
    ):
        assert part in str(caught.value)
    assert "peak" not in str(caught.value)


def test_nan_meets_no_condition():
    assert not Threshold("p", "n", float("nan"), 1, "", is_least=False).is_met
    assert not Threshold("p", "n", float("nan"), 1, "", is_least=True).is_met


def test_without_held_out_music_only_the_rest_is_measured(evaluation):
    parts = {(each.part, each.is_measured) for each in thresholds(evaluation)}
    assert parts == {
        ("likeness", False),
        ("defects", False),
        ("defects", True),
        ("switches", True),
    }


def test_against_held_out_music_everything_is_measured(compared):
    assert all(each.is_measured for each in thresholds(compared))
    assert len(compared.comparisons) == len(compared.inversion_comparisons) == N_FIGURES
    assert set(compared.distances) == set(compared.noise_floor) == set(GROUPS)


# -- files ---------------------------------------------------------------------


def test_names_and_scores_go_into_the_model_and_nothing_else_changes(
    evaluation, small_model, tmp_path
):
    copy = tmp_path / "copy.onnx"
    copy.write_bytes(small_model.read_bytes())
    before = read_card(copy)
    digest = embed_scores(copy, ("warm & dark", "ünïque"), {"audition_x": 1.5, "codec_db": 2.0})
    again = embed_scores(copy, ("warm & dark", "ünïque"), scores(evaluation))
    after = read_card(copy)
    assert digest != again == Network.open(copy).digest
    assert after.switch_labels == ("warm & dark", "ünïque")
    assert after.scores == {"codec_db": 2.0, **scores(evaluation)}
    assert dataclasses.replace(after, switch_labels=before.switch_labels, scores={}) == before
    assert [path.name for path in tmp_path.iterdir()] == ["copy.onnx"]


def test_a_model_of_the_first_version_comes_out_as_one_of_the_newest(build_model):
    path = build_model(metadata={"contract_version": "1", "scores": None})
    embed_scores(path, ("a", "b", "c"), {"audition_x": 1.0})
    assert ModelCard.from_metadata(read_card(path).to_metadata()).scores == {"audition_x": 1.0}


def test_a_page_loads_no_other_resource(compared):
    html = build(dataclasses.replace(compared, labels=("</script><b>", "& so")))
    assert "some music" in html
    assert html.count("<audio") == 2
    assert "</script><b>" not in html
    assert not re.search(r"<link|@import|url\((?!#)|src=\"(?!data:)", html)
    # XML namespaces, which are not fetched.
    assert {url.split("/")[2] for url in re.findall(r"https?://[^\"' )]+", html)} == {"www.w3.org"}
    panel = json.loads(re.search(r'id="panel-data">(.*?)</script>', html, re.S)[1])
    assert [state["bits"] for state in panel["states"]] == ["00", "01", "10", "11"]
    assert html.count('role="switch"') == 2


def test_labels_are_in_millimetres_and_fit_their_switch():
    names = ["purer", "a name that is rather long for it", "x" * 40] + ["more air"] * 9
    root = ET.fromstring(build_sheet("A & B", names, pitch_mm=20))
    assert (root.get("width"), root.get("viewBox")) == ("210.0mm", "0 0 210.0 297.0")
    texts = [element.text for element in root.iter("{http://www.w3.org/2000/svg}text")]
    assert "A & B" in texts
    assert [text for text in texts if text.isdigit()] == [str(n) for n in range(1, 13)]
    # 186 mm of paper hold nine switches, the rest is below.
    assert len(root.findall("{http://www.w3.org/2000/svg}g")) == 2


def test_letters_are_as_large_as_the_label_allows():
    short, lines = fit("purer", 18, 10)
    assert (short, lines) == (3.6, ["purer"])
    size, lines = fit("more contrast", 18, 10)
    assert lines == ["more", "contrast"]
    assert 3 < size <= 3.6


# -- the verb --------------------------------------------------------------------------------


def test_the_verb_writes_page_figures_labels_and_model(small_model, tmp_path, monkeypatch):
    model = tmp_path / "m.onnx"
    model.write_bytes(small_model.read_bytes())
    monkeypatch.chdir(tmp_path)
    words = "m.onnx --out p.html --json f.json --labels l.svg --takes 2 --workers 1 --write"
    arguments = [*words.split(), "--name", "2=rain", "--gate-only", "switches"]
    result = CliRunner().invoke(command, arguments)
    assert result.exception is None, result.output
    figures = json.loads((tmp_path / "f.json").read_text())
    sheet, page = ((tmp_path / name).read_text() for name in ("l.svg", "p.html"))
    card = read_card(model)
    assert figures["labels"] == list(card.switch_labels) == ["partials 0", "rain"]
    assert figures["scores"] == dict(card.scores)
    assert figures["sha256_written"] == Network.open(model).digest != figures["sha256"]
    assert ">rain<" in sheet
    assert "rain" in page
    assert "met     movement of the weakest switch" in result.output
    assert "held-out" not in result.output
    assert len(figures["states"]) == 4
    assert set(NAMES) <= set(figures["states"][0]["takes"][1])


def test_a_gate_that_cannot_be_decided_is_refused_before_any_work(small_model, tmp_path):
    out = tmp_path / "p.html"
    for gate in (["--gate"], ["--gate-only", "defects"]):
        result = CliRunner().invoke(command, [str(small_model), "--out", str(out), *gate])
        assert isinstance(result.exception, NoHeldOutMusic)
        assert "--against" in str(result.exception)
    assert not out.exists()


@pytest.mark.parametrize("name", ["3=x", "0=x", "x", "1=", "1=" + 41 * "y", "²=x"])
def test_a_name_for_no_switch_is_refused(small_model, tmp_path, name):
    arguments = [str(small_model), "--out", str(tmp_path / "p.html"), "--name", name]
    result = CliRunner().invoke(command, arguments)
    assert result.exit_code == 2
    assert "expected a switch from 1 to 2" in result.output
