"""A corpus is whole or absent, an interrupted run continues, and loops are read as written."""

from __future__ import annotations

import json
import pickle
import subprocess
import sys

import numpy as np
import pytest
from click.testing import CliRunner

from device.errors import SwitchboardError
from tests.support.corpus_files import changed_arrays, write_corpus
from training.commands.corpus import corpus as command
from training.corpus.format import BEATS_PER_LOOP, MARGIN, CorpusError
from training.corpus.generator import corpus_writer as shards
from training.corpus.generator.corpus_writer import is_held_out, write_studio_corpus
from training.corpus.generator.loop import render_loop
from training.corpus.generator.plan import LAYERS, draw_plan
from training.corpus.parts import PreparedLoop
from training.corpus.reader import Corpus

BEATS = (np.arange(BEATS_PER_LOOP + 1) * 1000.0).tolist()


def prepared(name="one", held_out=False, seed=0):
    n_samples = 2 * MARGIN + int(BEATS[-1])
    audio = np.random.default_rng(seed).uniform(-0.9, 0.9, n_samples).astype(np.float32)
    return PreparedLoop(name, audio, BEATS, held_out, {"kit": "dusty"}, {"licence": "CC0-1.0"})


@pytest.fixture(autouse=True)
def small_parts(monkeypatch):
    monkeypatch.setattr(shards, "LOOPS_PER_PART", 3)


@pytest.fixture(scope="module")
def studio_corpus(tmp_path_factory):
    directory = tmp_path_factory.mktemp("studio") / "corpus"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(shards, "LOOPS_PER_PART", 3)
        write_studio_corpus(directory, seed=3, minutes=1.6)
    return directory


# -- the format -----------------------------------------------------------------------------


def test_a_shard_gives_back_its_loops(tmp_path):
    loops = [prepared("one", seed=1), prepared("two", held_out=True, seed=2)]
    corpus = write_corpus(tmp_path, loops)
    assert len(corpus) == 2
    assert (corpus.sample_rate, corpus.tempo_bpm, corpus.beats_per_loop) == (22050, 80.0, 16)
    for number, loop in enumerate(loops):
        assert corpus.records[number].id == loop.id
        assert corpus.records[number].beats == tuple(BEATS)
        assert corpus.audio(number).dtype == np.float32
        np.testing.assert_allclose(corpus.audio(number), loop.audio, atol=1.0 / 32767.0)
    assert corpus.indices("train").tolist() == [0]
    assert corpus.indices("held-out").tolist() == [1]


def test_frames_are_centred_at_the_requested_positions(tmp_path):
    loop = prepared()
    corpus = write_corpus(tmp_path, [prepared("before"), loop])
    positions = np.array([0.0, 0.25, 7.5, 16.0, 3.0])
    frames = corpus.frames(1, positions, 1024)
    assert frames.shape == (5, 1024)
    assert frames.dtype == np.float32
    centres = MARGIN + np.rint(1000.0 * positions).astype(int)
    np.testing.assert_allclose(frames[:, 512], loop.audio[centres], atol=1.0 / 32767.0)


def test_frames_have_their_peak_at_the_requested_positions(tmp_path):
    loop = prepared()
    frames = write_corpus(tmp_path, [loop]).frames(0, [0.0, 7.5], 768, peak=256)
    peaks = MARGIN + np.array([0, 7500])
    np.testing.assert_allclose(frames[:, 256], loop.audio[peaks], atol=1.0 / 32767.0)


def test_frames_follow_an_uneven_beat(tmp_path):
    beats = np.cumsum([0.0] + [900.0, 1100.0] * 8)
    loop = prepared()
    uneven = PreparedLoop("uneven", loop.audio, beats.tolist(), False, {}, {})
    frames = write_corpus(tmp_path, [uneven]).frames(0, [1.5], 2)
    assert frames[0, 1] == pytest.approx(loop.audio[MARGIN + 900 + 550], abs=1e-4)


def test_no_frames_are_an_empty_array(tmp_path):
    assert write_corpus(tmp_path, [prepared()]).frames(0, [], 64).shape == (0, 64)


@pytest.mark.parametrize("position", [-0.01, 16.01, np.nan])
def test_frames_outside_the_loop_are_refused(tmp_path, position):
    corpus = write_corpus(tmp_path, [prepared()])
    with pytest.raises(CorpusError, match="expected 0 to 16"):
        corpus.frames(0, [position], 1024)


def test_frames_longer_than_the_margins_are_refused(tmp_path):
    with pytest.raises(CorpusError, match=r"frames reach 8192 samples .* expected at most 4096"):
        write_corpus(tmp_path, [prepared()]).frames(0, [0.0], 16384)


def test_a_loop_without_its_margins_is_refused(tmp_path):
    loop = prepared()
    short = PreparedLoop("short", loop.audio[:-1], BEATS, False, {}, {})
    with pytest.raises(CorpusError, match="loop short has 17 beats and 24191 samples"):
        write_corpus(tmp_path, [short])


def test_an_open_corpus_can_be_pickled_for_workers(tmp_path):
    corpus = write_corpus(tmp_path, [prepared()])
    corpus.audio(0)
    assert len(pickle.dumps(corpus)) < 5000
    again = pickle.loads(pickle.dumps(corpus))
    assert np.array_equal(again.audio(0), corpus.audio(0))


def test_the_summary_names_source_size_and_licences(studio_corpus):
    assert Corpus.open(studio_corpus).provenance_summary() == {
        "source": "studio",
        "n_loops": 8,
        "hours": 0.027,
        "licences": ["CC0-1.0"],
        "seed": 3,
    }


def change_header(directory, key, value):
    header = json.loads((directory / "corpus.json").read_text())
    header.pop(key) if value is None else header.update({key: value})
    (directory / "corpus.json").write_text(json.dumps(header))


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (lambda d: change_header(d, "format_version", 99), "format version 99, expected 1 or 2"),
        (lambda d: change_header(d, "n_loops", None), "unfinished corpus .* run the command"),
        (lambda d: change_header(d, "n_loops", 7), "holds 1 loops, corpus.json announces 7"),
        (lambda d: (d / "corpus.json").unlink(), "holds no corpus"),
        (lambda d: (d / "corpus.json").write_text("{"), "cannot be read"),
        (lambda d: (d / "records-00000.npz").unlink(), "cannot be read"),
        (lambda d: (d / "records-00000.npz").write_bytes(b"PK"), "cannot be read"),
        (lambda d: changed_arrays(d / "records-00000.npz", start=np.array([4.0])), "not loops"),
        (lambda d: change_header(d, "shards", [{"n_loops": 2, "n_samples": 9}]), "announces 2"),
    ],
)
def test_damaged_corpora_are_refused_in_one_line(tmp_path, damage, message):
    write_corpus(tmp_path, [prepared()])
    damage(tmp_path)
    with pytest.raises(CorpusError, match=message) as refused:
        Corpus.open(tmp_path)
    assert "\n" not in str(refused.value)


def test_missing_audio_is_a_corpus_error(tmp_path):
    corpus = write_corpus(tmp_path, [prepared()])
    (tmp_path / "shard-00000.npy").unlink()
    with pytest.raises(CorpusError, match=r"shard-00000\.npy cannot be read"):
        corpus.audio(0)


def test_a_missing_directory_is_reported_with_the_command_that_makes_a_corpus(tmp_path):
    with pytest.raises(CorpusError, match="switchboard corpus studio --out"):
        Corpus.open(tmp_path / "nowhere")


def test_corpus_errors_have_their_own_exit_code():
    assert issubclass(CorpusError, SwitchboardError)
    assert issubclass(CorpusError, ValueError)
    assert CorpusError.exit_code == 20


# -- the studio's corpus --------------------------------------------------------------------


def test_a_studio_corpus_holds_the_loops_of_its_seed(studio_corpus):
    corpus = Corpus.open(studio_corpus)
    loop = render_loop(3, 4)
    stored = corpus.audio(4)
    np.testing.assert_allclose(stored[MARGIN:-MARGIN], loop.audio, atol=1.0 / 32767.0)
    assert corpus.records[4].provenance["index"] == 4
    assert corpus.records[4].labels == loop.labels


def test_the_margins_of_a_studio_loop_are_its_own_other_end(studio_corpus):
    audio = Corpus.open(studio_corpus).audio(2)
    n_loop = len(audio) - 2 * MARGIN
    assert np.array_equal(audio[:MARGIN], audio[n_loop : n_loop + MARGIN])
    assert np.array_equal(audio[-MARGIN:], audio[MARGIN : 2 * MARGIN])


def test_stems_are_stored_beside_their_loops_and_change_no_other_file(studio_corpus, tmp_path):
    write_studio_corpus(tmp_path / "c", seed=3, minutes=0.8, with_stems=True)
    plain, corpus = Corpus.open(studio_corpus), Corpus.open(tmp_path / "c")
    for number in range(len(corpus)):
        np.testing.assert_array_equal(corpus.audio(number), plain.audio(number))
        stems = corpus.stems(number)
        assert tuple(stems) == LAYERS
        assert {stem.shape for stem in stems.values()} == {corpus.audio(number).shape}
        loop = render_loop(3, number, with_stems=True)
        for layer, stem in stems.items():
            inside = stem[MARGIN : MARGIN + len(loop.audio)]
            np.testing.assert_allclose(inside, np.clip(loop.stems[layer], -1, 1), atol=1e-4)
    with pytest.raises(CorpusError, match="holds no stems"):
        plain.stems(0)
    with pytest.raises(CorpusError, match=r"with stems .*, requested None"):
        write_studio_corpus(tmp_path / "c", seed=3, minutes=0.8)


def test_ten_hours_hold_no_composition_twice_and_none_in_both_splits():
    n_loops = 10 * 60 * 60 // 12
    plans = [json.dumps(draw_plan(1, index).labels()) for index in range(n_loops)]
    assert len(set(plans)) == n_loops
    held_out = {plan for index, plan in enumerate(plans) if is_held_out(1, index)}
    trained = {plan for index, plan in enumerate(plans) if not is_held_out(1, index)}
    assert len(held_out) == n_loops // 50
    assert not held_out & trained


def test_one_composition_in_fifty_is_held_out_and_one_of_any_twenty():
    for seed in range(5):
        held_out = [index for index in range(1000) if is_held_out(seed, index)]
        assert len(held_out) == 20
        assert held_out[0] < 20
    assert is_held_out(1, 7) == is_held_out(1, 7)


# -- the commands ---------------------------------------------------------------------------


def test_the_studio_command_reports_size_and_speed(tmp_path):
    options = ["studio", "--minutes", "0.4", "--seed", "9", "--workers", "1"]
    first = CliRunner().invoke(command, [*options, "--out", str(tmp_path / "c")])
    assert first.exit_code == 0, first.output
    assert "2 loops, 0.01 hours" in first.output
    assert "x real time" in first.output
    again = CliRunner().invoke(command, [*options, "--out", str(tmp_path / "c")])
    assert "was complete already" in again.output


def test_the_commands_import_only_click_until_they_run():
    code = (
        "import sys, training.commands.corpus as _;"
        "heavy = {'numpy', 'scipy', 'librosa', 'soundfile', 'rich', 'torch'} & set(sys.modules);"
        "sys.exit(', '.join(sorted(heavy)) or None)"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
