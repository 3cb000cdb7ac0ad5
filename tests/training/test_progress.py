"""How far the work has come is told where somebody may look, and not too often."""

import re

import pytest

from training.progress import shown_progress


def test_a_log_gets_a_line_every_tenth(capsys):
    with shown_progress("rows") as show:
        for n_done in range(41):
            show(n_done, 40)
    lines = capsys.readouterr().err.splitlines()
    assert [line.partition(",")[0] for line in lines] == [f"{n}/40 rows" for n in range(4, 41, 4)]
    assert all(re.search(r"(rows/s|s each), \d+ s left$", line) for line in lines)


def test_work_done_before_is_no_news(capsys):
    with shown_progress("files") as show:
        show(30, 40)
        show(31, 40)
    assert capsys.readouterr().err == ""


@pytest.mark.parametrize(("seconds", "words"), [(0.1, "10.0 rows/s"), (30.0, "30 s each")])
def test_pace_is_told_so_that_it_says_something(capsys, monkeypatch, seconds, words):
    times = iter([0.0, seconds])
    monkeypatch.setattr("training.progress.time.monotonic", lambda: next(times, seconds))
    with shown_progress("rows") as show:
        show(0, 2)
        show(1, 2)
    assert words in capsys.readouterr().err
