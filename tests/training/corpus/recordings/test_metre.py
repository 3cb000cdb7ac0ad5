"""Tempo and metre are those of the music; others are left out by name, or kept on request."""

from __future__ import annotations

import re

import numpy as np
import pytest
import soundfile
from click.testing import CliRunner

from tests.support.corpus_files import records_by_path
from tests.support.synthetic_music import song, waltz
from training.commands.corpus import corpus as command
from training.corpus.format import SAMPLE_RATE
from training.corpus.reader import Corpus
from training.corpus.recordings import keys
from training.corpus.recordings.beats import find_segments
from training.corpus.recordings.metre import METRES, find_hypotheses, find_metre, find_tempos, fold
from training.corpus.recordings.onsets import find_onsets
from training.corpus.recordings.rejection import CLEAR_METRE, Selection


def metre_of(audio):
    return find_metre(find_onsets(audio), keys.find_chroma(audio), keys.HOP)


@pytest.mark.parametrize("bpm", [66.0, 78.0, 99.0, 123.0, 150.0])
def test_a_song_has_the_tempo_it_was_played_at_and_its_bars(bpm):
    metre = metre_of(song(16, bpm, lead_seconds=0.5))
    assert metre.name == "4/4"
    assert 60.0 * SAMPLE_RATE / np.median(np.diff(metre.beats)) == pytest.approx(bpm, rel=0.02)
    first = metre.beats[metre.first_downbeat(0, len(metre.beats) - 1)] / SAMPLE_RATE
    bars = (first - 0.5) * bpm / 240.0
    assert bars == pytest.approx(round(bars), abs=0.05)


def test_the_right_tempo_is_always_among_the_hypotheses():
    for bpm in (60.0, 75.0, 110.0, 140.0, 170.0):
        tempos = find_tempos(find_onsets(song(12, bpm)))
        assert min(abs(tempo / bpm - 1.0) for tempo in tempos) < 0.04


def test_beats_are_also_sought_between_the_beats():
    audio = song(12, 100.0)
    starts = {
        int(hypothesis.beats[0])
        for hypothesis in find_hypotheses(find_onsets(audio), keys.find_chroma(audio), keys.HOP)
        if abs(hypothesis.tempo_bpm - 100.0) < 3.0
    }
    assert len(starts) == 4  # on the beat, a half, a third and two thirds later


def test_folding_counts_the_bar_from_every_beat():
    folded = fold(np.array([[3.0, 1.0, 2.0, 3.0, 1.0, 2.0]]), 3)
    assert folded[:, 0].tolist() == [[3.0, 1.0, 2.0], [1.0, 2.0, 3.0], [2.0, 3.0, 1.0]]


def test_the_bars_of_a_waltz_are_divided_into_four():
    audio = waltz(24, 110.0)
    segments = list(find_segments(audio, keys.find_chroma(audio), keys.HOP))
    assert {segment.metre for segment in segments} == {"3/4"}
    for segment in segments:
        bars = segment.beats[::4] / SAMPLE_RATE * 110.0 / 180.0
        assert np.diff(bars) == pytest.approx(np.ones(4), abs=0.05)


def test_a_metre_is_left_out_by_name_and_a_doubtful_one_by_its_certainty():
    assert Selection().find_fault("4/4", 0.9) is None
    assert "in 3/4, not 4/4; --metre 3/4 keeps it" in Selection().find_fault("3/4", 0.9)
    assert Selection(("4/4", "3/4")).find_fault("3/4", 0.9) is None
    assert "in no clear metre" in Selection().find_fault("4/4", CLEAR_METRE - 0.01)
    assert Selection(keeps_doubtful=True).find_fault("4/4", 0.0) is None
    assert all(Selection(tuple(METRES)).find_fault(name, 1.0) is None for name in METRES)


@pytest.fixture(scope="module")
def two_metres(tmp_path_factory):
    folder = tmp_path_factory.mktemp("metres")
    soundfile.write(folder / "four <b>.wav", song(12, 100.0), SAMPLE_RATE)
    soundfile.write(folder / "three.wav", waltz(24, 110.0), SAMPLE_RATE)
    return folder


def made(music, directory, *options):
    arguments = ["folder", str(music), "--out", str(directory), "--workers", "1", *options]
    result = CliRunner().invoke(command, arguments)
    assert result.exit_code == 0, result.output
    return result.output


def test_the_folder_command_leaves_out_a_waltz_and_says_so(two_metres, tmp_path):
    output = made(two_metres, tmp_path / "c")
    assert "three.wav: in 3/4, not 4/4; --metre 3/4 keeps it" in output
    records = records_by_path(tmp_path / "c")
    assert set(records) == {"four <b>.wav"}
    labels = records["four <b>.wav"][0].labels
    assert labels["metre"] == "4/4"
    assert CLEAR_METRE <= labels["metre_certainty"] <= 1.0
    skipped = Corpus.open(tmp_path / "c").header["skipped"]
    assert len([skip for skip in skipped if skip["path"] == "three.wav"]) == 1


def test_the_folder_command_keeps_other_metres_and_writes_a_page_to_check(two_metres, tmp_path):
    page = tmp_path / "page.html"
    options = ["--metre", "3/4", "--metre", "4/4", "--keep-doubtful", "--check", str(page)]
    output = made(two_metres, tmp_path / "c", *options)
    records = records_by_path(tmp_path / "c")
    assert {path: loops[0].labels["metre"] for path, loops in records.items()} == {
        "four <b>.wav": "4/4", "three.wav": "3/4",
    }  # fmt: skip
    assert f"{page}: " in output
    html = page.read_text(encoding="utf-8")
    assert html.count('src="data:audio/mpeg;base64,') == 2
    assert "four &lt;b&gt;.wav" in html
    assert "<b>" not in html
    certainties = [float(n) for n in re.findall(r'<td class="n">(0\.\d+|1\.0)</td>\s*<td>', html)]
    assert certainties[0] == min(loops[0].labels["metre_certainty"] for loops in records.values())
