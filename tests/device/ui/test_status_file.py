"""The status file: its content, when it is replaced, and when it is out of date."""

import json
import math
import os
import threading
import time
from dataclasses import dataclass

import pytest

from device.errors import OutputError, StatusMissing, StatusStale
from device.playback.share_code import SharedPosition
from device.store.verdict_log import Refusal
from device.ui.status_file import FIELDS, STALE_SECONDS, StatusFile, read_status, status_of
from tests.support.instrument_state import snapshot
from tests.support.waiting import wait_until

REFUSAL = Refusal("cd" * 32, "too loud", 1_700_000_000.0)


@pytest.fixture
def path(tmp_path):
    return tmp_path / "status.json"


@pytest.fixture
def open_file(path, monkeypatch):
    monkeypatch.setattr("device.ui.status_file.WRITE_SECONDS", 0.01)
    opened = []

    def open_file(at=path, **changes):
        sources = {
            "origin": lambda digest: f"the origin of {digest[:2]}",
            "last_refusal": lambda: REFUSAL,
            "degrees": lambda: 48.5,
            "clock": lambda: 1000.0,
            **changes,
        }
        opened.append(StatusFile(at, **sources))
        return opened[-1]

    yield open_file
    for file in opened:
        file.close()


def content(path):
    wait_until(path.is_file)
    return json.loads(path.read_text(encoding="utf-8"))


def test_it_has_all_fields_of_a_playing_instrument(open_file, path):
    open_file()(
        snapshot(
            bar=16,
            beat=2,
            sounding=(False, False),
            n_underruns=3,
            n_late=4,
            n_iterations=0,
            held_frames=2,
            n_lowered=2,
            fixed_tempo_bpm=76.0,
            position=67.25,
            seconds=53.4,
        )
    )
    status = content(path)
    assert set(status) == FIELDS
    assert status["model"] == {"title": "Rain", "digest": "ab" * 32, "origin": "the origin of ab"}
    assert (status["switches"], status["sounding"]) == ("10", "00")
    assert (status["bar"], status["beat"], status["tempo_bpm"]) == (17, 3, 76.0)
    assert status["switch_to_sound_p50_ms"] == 5.0 + 118.0
    assert status["switch_to_sound_p99_ms"] == 9.0 + 118.0
    assert (status["underruns"], status["late_blocks"]) == (3, 4)
    assert status["governor"] == {"n_passes": 0, "held_frames": 2, "n_lowered": 2}
    assert (status["temperature_celsius"], status["seconds_played"]) == (48.5, 53.4)
    assert status["last_refusal"]["reason"] == "too loud"
    assert (status["written_at"], status["uptime_seconds"]) == (1000.0, 0.0)
    assert SharedPosition.parse(status["share"]).beat == 67.25


def test_an_unknown_value_is_null():
    status = status_of(
        snapshot(switch_p50_ms=math.nan, switch_p99_ms=math.nan, level_db=-math.inf), origin="file"
    )
    assert status["switch_to_sound_p50_ms"] is status["level_db"] is None
    assert json.loads(json.dumps(status, allow_nan=False)) == status


def test_it_follows_the_instrument_and_is_always_whole(open_file, path):
    file = open_file()
    for bar in range(1, 40):
        file(snapshot(bar=bar))
        if path.exists():
            assert content(path)["bar"] <= bar + 1
    wait_until(lambda: content(path)["bar"] == 40)
    assert [p.name for p in path.parent.iterdir() if not p.name.startswith(".")] == [path.name]


def test_while_no_block_is_played_the_file_is_not_rewritten(open_file, path):
    clock = [1000.0]
    file = open_file(clock=lambda: clock[0])
    state = snapshot()
    file(state)
    assert content(path)["written_at"] == 1000.0
    clock[0] += 1
    file(state)
    time.sleep(0.1)
    assert content(path)["written_at"] == 1000.0
    file(snapshot())
    wait_until(lambda: content(path)["written_at"] == 1001.0)


def test_a_new_state_costs_the_audio_loop_one_assignment(open_file, path):
    @dataclass(frozen=True)
    class Untouchable:
        def __getattr__(self, name):
            raise AssertionError(name)

    file = StatusFile(path, origin=lambda _: "", last_refusal=lambda: None, degrees=lambda: None)
    file._helper.close()
    file(Untouchable())


def test_a_clean_end_removes_the_file_and_ends_the_thread(open_file, path):
    with open_file() as file:
        file(snapshot())
        wait_until(path.is_file)
    assert list(path.parent.iterdir()) == []
    assert "status" not in {thread.name for thread in threading.enumerate()}
    file.close()


def test_after_a_full_disk_the_file_is_written_again(open_file, path, monkeypatch):
    full = [True]
    write = StatusFile._write

    def writing(self, state):
        if full[0]:
            raise OSError(28, "No space left on device")
        write(self, state)

    monkeypatch.setattr(StatusFile, "_write", writing)
    file = open_file()
    file(snapshot())
    time.sleep(0.05)
    full[0] = False
    file(snapshot(bar=7))
    assert content(path)["bar"] == 8


@pytest.mark.parametrize("name", ["none/status.json", "."])
def test_a_path_that_cannot_be_written_is_refused_at_once(open_file, tmp_path, name):
    with pytest.raises(OutputError, match="no writable folder"):
        open_file(tmp_path / name)


def test_a_new_file_is_read_and_an_old_one_is_stale(open_file, path):
    open_file()(snapshot())
    wait_until(path.is_file)
    assert read_status(path, now=1000.0 + STALE_SECONDS)["bar"] == 1
    with pytest.raises(StatusStale, match=r"12 s ago.*hangs or is dead"):
        read_status(path, now=1012.0)


@pytest.mark.parametrize(
    "text", [None, "", "[]", "{}", '{"written_at": "now"}', '{"written_at": 1.0}']
)
def test_a_file_that_is_no_status_counts_as_missing(path, text):
    if text is not None:
        path.write_text(text, encoding="utf-8")
    with pytest.raises(StatusMissing, match="switchboard play"):
        read_status(path, now=1.0)


@pytest.mark.parametrize("ahead", [2.0, 3600.0, 1e12, float("inf"), float("nan")])
def test_a_status_from_the_future_is_stale(open_file, path, ahead):
    open_file()(snapshot())
    wait_until(path.is_file)
    status = json.loads(path.read_text(encoding="utf-8"))
    path.write_text(json.dumps({**status, "written_at": 1000.0 + ahead}), encoding="utf-8")
    with pytest.raises(StatusStale, match="ahead of this machine's clock"):
        read_status(path, now=1000.0)


def test_a_pipe_counts_as_missing_at_once(path):
    os.mkfifo(path)
    with pytest.raises(StatusMissing):
        read_status(path, now=1000.0)
