"""The window study measures what it says, on any audio, and says what it measured."""

import dataclasses
import itertools
import json
import re

import numpy as np
import pytest
import soundfile
from click.testing import CliRunner

from device.synthesis.griffin_lim import GriffinLim
from training.commands.inversion_study import study as command
from training.corpus.format import SAMPLE_RATE, CorpusError
from training.inversion_study import methods as inversions
from training.inversion_study.experiment import Plan, Row, Study, read_music, run
from training.inversion_study.methods import DeviceInversion, LibrosaInversion, n_empty_bands
from training.inversion_study.page import build
from training.inversion_study.summary import find
from training.metrics.reconstruction import log_spectral_distance_db
from training.reporting.text import duration, listing, span, typeset

PLAN = Plan(windows=(256, 512), iterations=(1, 4))
SECONDS = 1.5


def music(seconds=SECONDS, sample_rate=SAMPLE_RATE):
    """A chord whose notes come one after the other, over a little noise; (n_samples,)."""
    time = np.arange(round(seconds * sample_rate)) / sample_rate
    noise = np.random.default_rng(0).standard_normal(len(time))
    notes = (
        np.sin(2 * np.pi * f * n * time) / n * np.clip(5 * (time - start), 0, 1)
        for start, f in ((0.0, 220.0), (0.3, 277.0), (0.6, 330.0))
        for n in range(1, 8)
    )
    return (0.1 * sum(notes) + 0.001 * noise).astype(np.float32)


def ticking():
    """A clock by which everything takes one second."""
    return itertools.count().__next__


@pytest.fixture(scope="module")
def studied():
    return run("a chord", music(), PLAN, clock=ticking())


# -- the trials ------------------------------------------------------------------------------


def test_every_window_is_tried_in_every_way(studied):
    tried = [(r.n_fft, r.method, r.spectrogram, r.n_iterations) for r in studied.rows]
    librosa = [("librosa", spectrogram, n) for spectrogram in ("linear", "mel") for n in (1, 4)]
    inversion = GriffinLim(n_fft=512, hop_length=128)
    n_projections = (inversion.look_ahead + 1) * inversion.n_iterations
    box = [("box", spectrogram, n_projections) for spectrogram in ("linear", "mel")]
    assert tried == [(n_fft, *how) for n_fft in (256, 512) for how in librosa + box]
    assert len(tried) == PLAN.n_rows
    assert studied.refused == []


def test_time_is_split_where_it_is_spent(studied):
    for row in studied.rows:
        assert (row.mel_seconds, row.griffin_lim_seconds) == (float(row.is_mel), 1.0)
        assert row.core_percent == pytest.approx(100 * row.seconds / SECONDS)


def test_the_same_music_gives_the_same_figures_to_the_last_digit(studied):
    again = run("a chord", music(), PLAN, clock=ticking())
    assert again.rows == studied.rows
    assert all(np.array_equal(again.excerpts[r], studied.excerpts[r]) for r in studied.rows)


def test_a_spectrogram_is_as_long_as_the_music_has_hops(studied):
    for row in studied.rows:
        assert row.hop_length == row.n_fft // 4
        assert row.n_frames == pytest.approx(SECONDS * SAMPLE_RATE / row.hop_length, abs=5)
        assert row.n_values == (128 if row.is_mel else row.n_fft // 2 + 1)


def test_more_iterations_come_nearer(studied):
    for n_fft in (256, 512):
        few, many = studied.select(method="librosa", n_fft=n_fft, spectrogram="linear")
        assert many.sc_db < few.sc_db
        assert many.lsd_db < few.lsd_db


def test_a_rebuilt_sound_is_in_step_with_its_source(studied):
    source = music()
    for row in studied.rows:
        rebuilt = studied.excerpts[row]
        here, early, late = (
            log_spectral_distance_db(source, np.roll(rebuilt, shift), SAMPLE_RATE)
            for shift in (0, -1000, 1000)
        )
        assert here < min(early, late)


def test_only_the_box_has_a_latency_and_only_librosa_a_solver(studied):
    for row in studied.rows:
        assert (row.latency_ms is None) == (row.method == "librosa")
        assert (row.solver_change is None) == (row.method == "box" or not row.is_mel)
    latency = 1000 * GriffinLim(n_fft=512, hop_length=128).latency_samples / SAMPLE_RATE
    assert studied.select(method="box", n_fft=512)[0].latency_ms == pytest.approx(latency)


def test_without_librosa_there_are_two_rows_a_window():
    plan = Plan(windows=(256, 512), with_librosa=False)
    rows = run("a chord", music(), plan).rows
    assert [row.method for row in rows] == 4 * ["box"]
    assert all(row.griffin_lim_seconds > 0 for row in rows)


def test_progress_is_reported_after_every_row():
    plan = Plan(windows=(512, 1024), with_librosa=False)
    reports = []
    run("a chord", music(), plan, on_progress=lambda *done: reports.append(done))
    assert reports == [(n, 4) for n in range(5)]


def test_a_window_that_the_box_refuses_is_named_with_its_reason(monkeypatch):
    def refuse(**how):
        raise ValueError(f"no window of {how['n_fft']}")

    monkeypatch.setattr(inversions, "GriffinLim", refuse)
    studied = run("a chord", music(), Plan(windows=(512,), iterations=(1,)))
    assert studied.refused == [("box", 512, "no window of 512")]
    assert [row.method for row in studied.rows] == 2 * ["librosa"]
    assert "box, window 512: no window of 512" in build(studied)


def test_small_windows_leave_mel_bands_empty():
    assert n_empty_bands(SAMPLE_RATE, 64) > n_empty_bands(SAMPLE_RATE, 256) > 0
    assert n_empty_bands(SAMPLE_RATE, 2048) == 0


# -- librosa's memory ------------------------------------------------------------------------


@pytest.mark.parametrize(("n_fft", "n_frames"), [(64, 512), (2048, 512), (4096, 128)])
def test_the_solver_never_gets_more_frames_than_it_can_count(n_fft, n_frames):
    assert inversions._most_frames(n_fft // 2 + 1) == n_frames


@pytest.mark.parametrize(
    ("n_fft", "at_most", "taken", "note"),
    [
        (512, 9999, [690], ""),
        (512, 100, [64] * 10 + [50], "mel inversion 64 frames at a time"),
        (4096, 9999, [87], ""),
        (4096, 10, [10] * 8 + [7], "mel inversion 10 frames at a time"),
    ],
)
def test_mel_inversion_goes_in_pieces_where_memory_is_short(
    n_fft, at_most, taken, note, monkeypatch
):
    sizes = []

    def short_of_memory(mel, **_how):
        if mel.shape[1] > at_most:
            raise MemoryError
        sizes.append(mel.shape[1])
        return np.full((n_fft // 2 + 1, mel.shape[1]), len(sizes), np.float32)

    monkeypatch.setattr("librosa.feature.inverse.mel_to_stft", short_of_memory)
    method = LibrosaInversion(music(4.0), SAMPLE_RATE, n_fft, [1])
    assert method.invert(method.settings()[0], mel=True).note == note
    assert sizes == taken


def test_more_frames_than_the_solver_can_count_go_in_pieces(monkeypatch):
    sizes = []

    def solve(mel, **_how):
        sizes.append(mel.shape[1])
        return np.ones((2049, mel.shape[1]), np.float32)

    monkeypatch.setattr("librosa.feature.inverse.mel_to_stft", solve)
    method = LibrosaInversion(music(8.0), SAMPLE_RATE, 4096, [1])
    inverted = method.invert(method.settings()[0], mel=True)
    assert inverted.note == "mel inversion 128 frames at a time"
    assert sizes == [128, 45]


def test_the_box_stops_where_the_solver_begins():
    """Unless it took a step, librosa's least squares are the cut-off pseudo-inverse."""
    method = LibrosaInversion(music(), SAMPLE_RATE, 512, [1])
    assert 0 <= method.solver_change < 0.5
    box = DeviceInversion(music(), SAMPLE_RATE, 512)
    assert box.solver_change is None


# -- the music -------------------------------------------------------------------------------


@pytest.mark.parametrize("sample_rate", [8_000, 22_050, 44_100, 96_000])
@pytest.mark.parametrize("n_channels", [1, 2])
def test_music_of_any_rate_and_number_of_channels_is_the_same_music(
    tmp_path, sample_rate, n_channels
):
    tone = 0.5 * np.sin(2 * np.pi * 440 * np.arange(2 * sample_rate) / sample_rate)
    channels = np.stack([tone] * n_channels, axis=1)
    soundfile.write(tmp_path / "tone.wav", channels, sample_rate, subtype="FLOAT")
    samples = read_music(tmp_path / "tone.wav")
    assert samples.dtype == np.float32
    assert len(samples) == pytest.approx(2 * SAMPLE_RATE, abs=2)
    inside = slice(2000, -2000)
    expected = 0.5 * np.sin(2 * np.pi * 440 * np.arange(len(samples)) / SAMPLE_RATE)
    np.testing.assert_allclose(samples[inside], expected[inside], atol=2e-3)


@pytest.mark.parametrize("ending", ["wav", "flac", "ogg", "mp3"])
def test_every_kind_of_file_is_read(tmp_path, ending):
    soundfile.write(tmp_path / f"chord.{ending}", music(), SAMPLE_RATE)
    assert len(read_music(tmp_path / f"chord.{ending}")) == pytest.approx(33_075, abs=3000)


def test_only_the_start_is_read_where_that_was_asked_for(tmp_path):
    soundfile.write(tmp_path / "chord.wav", music(), SAMPLE_RATE)
    assert len(read_music(tmp_path / "chord.wav", at_most_seconds=1.2)) == round(1.2 * SAMPLE_RATE)


def not_finite():
    return np.where(np.arange(30_000) == 20_000, np.nan, 0.1)


@pytest.mark.parametrize(
    ("samples", "words"),
    [
        (np.zeros(0), "found 0.00 s of sound, expected at least 1 s"),
        (music(0.01), "found 0.01 s of sound, expected at least 1 s"),
        (np.zeros(30_000), "found silence"),
        (np.stack([music(), -music()], axis=1), "found silence in its mono mix"),
        (not_finite(), "not finite"),
    ],
    ids=["empty", "10 ms", "silent", "cancels out", "not a number"],
)
def test_sound_that_is_no_music_is_refused_by_name(tmp_path, samples, words):
    soundfile.write(tmp_path / "bad.wav", samples, SAMPLE_RATE, subtype="FLOAT")
    with pytest.raises(CorpusError, match=rf"bad\.wav: .*{words}"):
        read_music(tmp_path / "bad.wav")


# -- the findings ----------------------------------------------------------------------------


def row(method="box", spectrogram="linear", n_fft=512, **changes):
    """One row; times and distances as good as any."""
    facts = {
        "hop_length": n_fft // 4,
        "n_iterations": 3 if method == "box" else 16,
        "n_frames": 100_000 // n_fft,
        "n_values": n_fft // 2 + 1,
        "mel_seconds": 0.0,
        "griffin_lim_seconds": 1.0,
        "core_percent": 10.0,
        "mean_squared_error": 0.1,
        "sc_db": -20.0,
        "sc_foreign_db": -10.0,
        "lsd_db": 1.0,
        "latency_ms": 30.0 if method == "box" else None,
        "n_empty_bands": 0,
        "solver_change": None,
        "note": "",
    }
    return Row(method, spectrogram, n_fft, **(facts | changes))


def found_in(*rows, silence_error=0.05):
    made = Study("a song", SAMPLE_RATE * 90, silence_error, music(), list(rows))
    return {finding.claim: finding for finding in find(made)}


def the_only(found, words):
    (match,) = (finding for claim, finding in found.items() if words in claim)
    return dataclasses.replace(match, text=match.text.replace("\N{NO-BREAK SPACE}", " "))


@pytest.mark.parametrize(
    ("seconds", "figure", "words"), [(0.5, "8.0×", "less work"), (8.0, "2.0×", "more work")]
)
def test_work_is_called_less_or_more_as_it_was_measured(seconds, figure, words):
    box = row(griffin_lim_seconds=seconds, lsd_db=0.7)
    librosa = row("librosa", griffin_lim_seconds=4.0, lsd_db=1.5)
    finding = the_only(found_in(box, librosa), "work in the box")
    assert finding.figure == figure
    assert words in finding.claim
    assert "distance of 0.70 against 1.50 dB" in finding.text


def test_the_nearest_window_is_the_one_with_the_least_distance():
    rows = [row(n_fft=n, lsd_db=d) for n, d in ((256, 3.0), (512, 0.8), (1024, 2.0))]
    rows += [dataclasses.replace(r, spectrogram="mel", lsd_db=5.5) for r in rows]
    finding = the_only(found_in(*rows), "window that comes nearest")
    assert finding.figure == "512"
    assert "3.00 at 256, 0.80 at 512 and 2.00 at 1024" in finding.text
    assert "5.50" in finding.text


def test_rows_that_silence_beats_are_counted():
    facts = ((64, 0.1, 9.0), (128, 0.2, 3.0), (256, 0.01, 4.0))
    rows = [row(n_fft=n, mean_squared_error=error, lsd_db=d) for n, error, d in facts]
    finding = the_only(found_in(*rows), "further from the source than silence")
    assert finding.figure == "2 of 3"
    assert "0.0500" in finding.text
    assert "correlation of −0.50" in finding.text


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ((0.0, 0.0), "at no window, go anywhere"),
        ((0.0, 0.25), "end right there at 256, where the time buys nothing; at 512 they end 25%"),
        ((0.1, 0.25), "at 512 they end 25% away, at most"),
    ],
)
def test_what_the_solver_did_is_told_as_it_was(changes, words):
    rows = [
        row("librosa", "mel", n_fft, mel_seconds=9.0, solver_change=change)
        for n_fft, change in zip((256, 512), changes, strict=True)
    ]
    finding = the_only(found_in(*rows), "mel inversion")
    assert finding.figure == "90%"
    assert words in finding.text


def test_what_iterations_cost_is_told_with_and_without_mel():
    rows = [
        row("librosa", spectrogram, n_iterations=n, griffin_lim_seconds=s, lsd_db=d, mel_seconds=m)
        for spectrogram, m in (("linear", 0.0), ("mel", 7.0))
        for n, s, d in ((2, 1.0, 4.0), (16, 3.0, 1.0))
    ]
    finding = the_only(found_in(*rows), "16 iterations instead of 2")
    assert finding.figure == "+25%"
    assert "3.0 times the work" in finding.text
    assert "3.00 dB from linear" in finding.text


def test_findings_that_the_rows_cannot_carry_are_left_out():
    assert found_in(row()) == {}


def test_figures_are_set_as_in_print():
    assert typeset("-3.5 to -2, a low-pass and 4-5") == "−3.5 to −2, a low-pass and 4-5"
    assert (
        typeset("in 3 s or 4 %, 5 songs")
        == "in 3\N{NO-BREAK SPACE}s or 4\N{NO-BREAK SPACE}%, 5 songs"
    )
    assert (duration(61.4), duration(20.0)) == ("1:01 min", "20.0 s")
    assert span([1.0, 2.5], "s") == "1.00 to 2.50 s"
    assert span([40.2, 40.4], "s") == "40 s"
    assert (listing(["a"]), listing(["a", "b", "c"])) == ("a", "a, b and c")


# -- the page --------------------------------------------------------------------------------


def test_the_page_has_every_row_chart_and_sound(studied):
    html = build(studied)
    assert html.count("<tbody>") == 2
    assert len(re.findall(r'<tr class="(?:first|second)">', html)) == len(studied.rows)
    assert len(re.findall(r"<svg role", html)) == 5
    assert not re.search(r'src="(?!data:)', html)
    assert "a chord" in html
    names = re.findall(r'\bid="([^"]+)"', html)
    assert len(names) == len(set(names))


def test_the_page_lets_the_extremes_be_heard():
    plan = Plan(windows=(64, 2048), iterations=(1,))
    html = build(run("a chord", music(), plan))
    heard = re.findall(r'<audio [^>]*aria-label="([^"]+)"', html)
    assert heard[:5] == ["original", "linear 64", "linear 2048", "mel 64", "mel 2048"]
    assert re.fullmatch(r"the box, (64|2048)", heard[5])
    assert len(heard) == 6


@pytest.mark.parametrize("method", ["box", "librosa"])
def test_the_page_does_without_either_method(studied, method):
    rows = studied.select(method=method)
    alone = dataclasses.replace(studied, rows=rows)
    html = build(alone)
    assert len(re.findall(r'<tr class="(?:first|second)">', html)) == len(rows)


def test_the_verb_writes_the_page_and_every_row(tmp_path):
    soundfile.write(tmp_path / "chord.wav", music(), SAMPLE_RATE)
    options = ["--without-librosa", "--window", "512", "--window", "256"]
    files = ["--out", tmp_path / "r.html", "--json", tmp_path / "r.json"]
    result = CliRunner().invoke(command, list(map(str, [tmp_path / "chord.wav", *files, *options])))
    assert result.exit_code == 0, result.output
    assert "4 rows" in result.output
    assert (tmp_path / "r.html").read_text(encoding="utf-8").startswith("<!doctype html>")
    facts = json.loads((tmp_path / "r.json").read_text())
    assert facts["seconds"] == pytest.approx(SECONDS)
    assert [(r["method"], r["n_fft"], r["spectrogram"]) for r in facts["rows"]] == [
        ("box", n_fft, spectrogram) for n_fft in (256, 512) for spectrogram in ("linear", "mel")
    ]
    assert set(facts["rows"][0]) == {field.name for field in dataclasses.fields(Row)}
    assert sorted(path.name for path in tmp_path.iterdir()) == ["chord.wav", "r.html", "r.json"]


def test_music_that_does_not_fit_into_memory_is_told_what_to_do(tmp_path, monkeypatch):
    def no_memory(*_args, **_how):
        raise MemoryError

    soundfile.write(tmp_path / "chord.wav", music(), SAMPLE_RATE)
    monkeypatch.setattr("training.inversion_study.experiment.run", no_memory)
    arguments = [str(tmp_path / "chord.wav"), "--out", str(tmp_path / "r.html")]
    result = CliRunner().invoke(command, arguments)
    assert isinstance(result.exception, CorpusError)
    assert "--seconds" in str(result.exception)
