"""The page of a run is written again while it trains."""

import pytest

from tests.support.toy_trainer import make
from training.reporting.progress import TrainingProgress
from training.run import page
from training.run.page import RunPage

pytestmark = pytest.mark.usefixtures("eager")
N_HELD_OUT, N_STATES = 2, 3


@pytest.fixture
def at_once(monkeypatch):
    monkeypatch.setattr(page, "PAGE_SECONDS", 0.0)
    monkeypatch.setattr(page, "MOST_SHARE", 1e9)


def train(directory, *, moments=(8,), after_report=lambda written: None):
    """Train with a page; returns the trainer and its page."""
    trainer = make(directory)
    written = RunPage(trainer, 80.0)

    def report(stage, done, figures):
        if trainer.progress.step not in moments:
            return
        step, done_of_run = trainer.progress.step, trainer.done_of_run(done)
        written.refresh_if_due(TrainingProgress(stage, step, done, done_of_run, figures))
        if written._writing:
            written._writing.result()
        after_report(trainer.progress)

    trainer.report = report
    with written.refreshed():
        trainer.train()
    return written


def test_a_page_with_curves_sounds_and_pictures_is_there_while_the_run_trains(tmp_path, at_once):
    pages = {}

    def keep(progress):
        pages[progress.stage, progress.step] = (tmp_path / "page.html").read_text()

    written = train(tmp_path, after_report=keep)
    first, last = pages[0, 8], pages[1, 8]
    assert "codec, step 8" in first and "codec: held_out_db" in first
    assert first.count("<audio") == first.count('src="data:image/png') == 2 * N_HELD_OUT
    assert "composer, step 8" in last and "composer: cross_entropy" in last
    assert last.count("<audio") == 2 * N_HELD_OUT + N_STATES
    assert all("location.reload()" in text for text in pages.values())
    written.write_finished()
    finished = (tmp_path / "page.html").read_text()
    assert "The run is finished" in finished and "location.reload()" not in finished
    assert finished.count("<tr") == 2
    assert (tmp_path / "curves.png").is_file()
    assert len(list((tmp_path / "preview").glob("*.wav"))) == 2 * N_HELD_OUT + N_STATES


def test_a_page_that_cannot_be_written_does_not_end_the_training(tmp_path, at_once, capsys):
    (tmp_path / "page.html").mkdir()
    train(tmp_path)
    assert "the training goes on without a new page" in capsys.readouterr().err
    assert (tmp_path / "checkpoint.pt").is_file()


def test_pages_take_a_small_share_of_the_time(tmp_path):
    now, written = [0.0], []
    trainer = make(tmp_path)
    drawn = RunPage(trainer, 80.0, clock=lambda: now[0])
    # Each takes 10 s.
    drawn._draw = lambda **_: now.__setitem__(0, now[0] + 10.0) or written.append(now[0])
    drawn._try_to_write = lambda *_: 0.0
    progress = TrainingProgress("codec", 1, 0.1, 0.1, {})
    n_seconds = 10_000
    with drawn.refreshed():
        while now[0] < n_seconds:
            now[0] += 1.0
            drawn.refresh_if_due(progress)
            if drawn._writing:
                drawn._writing.result()
    assert 10 <= len(written) <= 0.02 * n_seconds / 10 + 1
