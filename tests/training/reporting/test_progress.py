"""Progress is shown on a terminal or in a log, at least every minute and not too often."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.tiny_run import finished, options
from training.reporting.progress import (
    LINE_SECONDS,
    ProgressLog,
    TrainingProgress,
    WorkProgress,
    log_line,
    shown_progress,
    shown_training,
    span,
)


class Clock:
    """A clock that a test sets."""

    now = 0.0

    def __call__(self):
        return self.now


def files(n_done, n_total):
    return WorkProgress(f"{n_done}/{n_total} files", n_done / n_total, n_done, "files")


def test_a_log_gets_a_line_every_tenth(capsys):
    with shown_progress("rows") as show:
        for n_done in range(41):
            show(n_done, 40)
    lines = capsys.readouterr().err.splitlines()
    assert [line.partition(",")[0] for line in lines] == [f"{n}/40 rows" for n in range(4, 41, 4)]
    assert all(re.search(r"(rows/s|s each), \d+ s left$", line) for line in lines)


def test_work_done_before_the_start_is_not_logged(capsys):
    with shown_progress("files") as show:
        show(30, 40)
        show(31, 40)
    assert capsys.readouterr().err == ""


@pytest.mark.parametrize(("seconds", "words"), [(0.1, "10.0 rows/s"), (30.0, "30 s each")])
def test_the_unit_of_the_rate_follows_its_size(capsys, monkeypatch, seconds, words):
    times = iter([0.0, seconds])
    monkeypatch.setattr("training.reporting.progress.time.monotonic", lambda: next(times, seconds))
    with shown_progress("rows") as show:
        show(0, 2)
        show(1, 2)
    assert words in capsys.readouterr().err


# -- a line every minute or every tenth, whichever comes first --------------------------------


def test_slow_work_gets_a_line_every_minute_with_pace_and_time_left():
    lines, clock = [], Clock()
    log = ProgressLog(lines.append, clock)
    for n_done in range(1001):
        clock.now = 20.0 * n_done
        log.show(files(n_done, 1000))
    # A tenth takes 2,000 s here: a line every third file and at every tenth.
    words = [int(line.partition("/")[0]) for line in lines]
    assert {3, 6, 99, 100, 103, 1000} <= set(words)
    assert max(b - a for a, b in zip([0, *words], words, strict=False)) == 3
    assert lines[0] == "3/1000 files, 20 s each, 5 h 32 min left"
    assert lines[-1] == "1000/1000 files, 20 s each, 0 s left"


def test_work_without_a_report_for_minutes_still_gets_lines():
    lines, clock = [], Clock()
    log = ProgressLog(lines.append, clock)
    log.tick()
    log.show(files(0, 4))
    log.show(files(1, 4))
    for clock.now in range(1, 181):
        log.tick()
    assert lines == [
        "1/4 files, 1000.0 files/s, 0 s left",
        "1/4 files, 60 s each, 3 min left, unchanged for 60 s",
        "1/4 files, 120 s each, 6 min left, unchanged for 2 min",
        "1/4 files, 180 s each, 9 min left, unchanged for 3 min",
    ]


def test_minutes_are_counted_from_the_last_line_whatever_it_was_for():
    lines, clock = [], Clock()
    log = ProgressLog(lines.append, clock)
    log.show(files(0, 10))
    clock.now = 50.0
    log.show(files(1, 10))
    clock.now = 100.0
    log.tick()
    assert len(lines) == 1
    clock.now = 50.0 + LINE_SECONDS
    log.tick()
    assert len(lines) == 2


def test_lines_of_the_minutes_need_no_report(monkeypatch):
    monkeypatch.setattr("training.reporting.progress._POLL_SECONDS", 0.001)
    lines, clock = [], Clock()
    with ProgressLog(lines.append, clock) as log:
        log.begin("measuring")
        clock.now = LINE_SECONDS
        while len(lines) < 2:
            pass
    assert lines == ["measuring", "measuring, unchanged for 60 s"]


def test_a_line_of_a_training_has_stage_step_loss_and_time_left(capsys):
    with shown_training(hidden=False) as shown:
        for step in range(1, 101):
            done = step / 100
            shown.report(
                TrainingProgress("codec", step, done, 0.6 * done, {"loss": 1 / step, "l1": 2.0})
            )
        shown.report(TrainingProgress("composer", 1, 0.25, 0.7, {"loss": 0.5}))
        shown.begin("measuring the switches")
    captured = capsys.readouterr()
    lines = captured.out.splitlines()
    assert captured.err == ""
    assert len(lines) == 6 + 1 + 1
    assert re.fullmatch(
        r"codec 50%, step 50, loss 0\.02, l1 2, [\d.]+ steps/s, \d+ s left", lines[2]
    )
    assert lines[-2:] == ["composer 25%, step 1, loss 0.5", "measuring the switches"]


def test_a_hidden_training_prints_nothing(capsys):
    with shown_training(hidden=True) as shown:
        shown.report(TrainingProgress("codec", 1, 0.1, 0.1, {}))
        shown.report(TrainingProgress("codec", 2, 0.9, 0.9, {}))
        shown.begin("measuring the switches")
    assert capsys.readouterr() == ("", "")


@pytest.mark.parametrize(
    ("seconds", "words"),
    [(0, "0 s"), (119, "119 s"), (150, "2 min"), (7_100, "118 min"), (7_500, "2 h 5 min")],
)
def test_a_time_is_formatted_in_the_unit_that_fits(seconds, words):
    assert span(seconds) == words


# -- a log that cannot be written -------------------------------------------------------------


def test_a_closed_pipe_does_not_stop_the_work(monkeypatch, capsys):
    reader, writer = os.pipe()
    os.close(reader)
    with os.fdopen(writer, "w") as pipe:
        monkeypatch.setattr(sys, "stdout", pipe)
        log_line("first", err=False)
        log_line("second", err=False)
    output = capsys.readouterr().err
    assert output == "switchboard: standard output: its reader has gone; the work goes on\n"


def test_a_log_on_a_full_disk_does_not_stop_the_work(monkeypatch, capsys):
    def full(line):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("click.echo", full)
    log_line("first", err=False)
    assert "No space left on device; the work goes on" in capsys.readouterr().err


def test_a_training_into_a_file_writes_lines_at_once_and_computes_empty_features_again(
    tmp_path, tmp_path_factory
):
    corpus, _ = finished(tmp_path_factory)
    # Other tests may have analysed the same corpus with other settings.
    before = {path: path.read_bytes() for path in corpus.glob("features-*.npy")}
    for path in before:
        path.write_bytes(b"")
    code = "import sys; from device.cli import main; sys.exit(main(sys.argv[1:]))"
    arguments = ["train", str(corpus), "--out", str(tmp_path / "run"), "--steps", "10"]
    arguments += [*options(), "--device", "cpu", "--threads", "1"]
    with (tmp_path / "log").open("wb") as log:
        done = subprocess.run(
            [sys.executable, "-c", code, *arguments],
            cwd=Path(__file__).parents[3],
            stdout=log,
            stderr=subprocess.PIPE,
            check=False,
        )
    assert (done.returncode, done.stderr) == (0, b"")
    lines = (tmp_path / "log").read_text().splitlines()
    assert lines[0].startswith("analysing: ")
    assert sum(bool(re.match(r"codec \d+%, step \d+, loss ", line)) for line in lines) == 3
    assert sum(line.startswith("composer") for line in lines) == 6
    assert lines[-3:-1] == ["writing previews", "measuring the switches"]
    (made,) = (path for path in before if path.stat().st_size)
    assert made.read_bytes() == before[made]
    for path, content in before.items():
        path.write_bytes(content)
