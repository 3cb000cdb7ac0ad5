"""The log of a performance on disk: what is written when, and what a full or strange disk costs."""

import json
import os
from functools import partial
from pathlib import Path

import pytest

from device.errors import OutputError, PerformanceError
from device.files import create_shared
from device.playback.recording import performance_log
from device.playback.recording.events import End, Flip, Header, Takeover, to_line
from device.playback.recording.performance_log import (
    WRITE_SECONDS,
    PerformanceLog,
    open_log_file,
    open_next_log,
)
from device.playback.recording.replay import performance_of, performance_to_dict, read_log
from device.synthesis.performance import Performance
from device.synthesis.transport import Quantize
from tests.support.waiting import wait_until

PERFORMANCE = Performance(quantize=Quantize.BAR, tempo_bpm=72.5, seed=7)
HEADER = Header(
    1, "0.1.0", "compiled kernel", "numpy 2", "x86_64", 5.5, 22050, "ab" * 32, "Rain",
    performance_to_dict(PERFORMANCE),
)  # fmt: skip
FLIPS = tuple(Flip(n, 256 * n, 0, n, "0110") for n in range(5))


@pytest.fixture
def open_log():
    opened = []

    def make(open_file, **options):
        lines = []
        opened.append(PerformanceLog(HEADER, open_file, lines.append, **options))
        return opened[-1], lines

    yield make
    for log in opened:
        log.close()


def test_what_is_logged_is_read_again(open_log, tmp_path):
    path = tmp_path / "x.jsonl"
    log, lines = open_log(lambda: open_log_file(path))
    takeover = Takeover(5, 6, 1, 0, True, "cd" * 32, "Sn\u00f6\x1b[2J", None, -3.5)
    end = End(9, 9 * 256, 40)
    for event in [*FLIPS, takeover, end]:
        log.put(event)
    log.close()
    read = read_log(path)
    assert (read.header, read.events, read.end) == (HEADER, (*FLIPS, takeover), end)
    assert performance_of(read.header) == PERFORMANCE
    assert read.n_samples == 9 * 256
    assert path.read_bytes().isascii()
    assert lines == []


def test_events_reach_the_disk_within_a_second_and_nothing_is_written_without_any(
    open_log, tmp_path, monkeypatch
):
    assert WRITE_SECONDS <= 1
    writes = []
    monkeypatch.setattr(performance_log, "_append", lambda file, content: writes.append(content))
    log, _ = open_log(lambda: open_log_file(tmp_path / "x.jsonl"))
    assert writes == [to_line(HEADER)]
    log.put(FLIPS[0])
    log.put(FLIPS[1])
    wait_until(lambda: len(writes) > 1)
    log.flush()
    log.flush()
    assert writes[1:] == [to_line(FLIPS[0]) + to_line(FLIPS[1])]


def test_a_device_that_only_starts_makes_no_log(open_log, tmp_path):
    folder = tmp_path / "performances"
    log, _ = open_log(lambda: open_next_log(folder), later_seconds=3600)
    log.put(FLIPS[0])  # the switches as they were at the start
    log.flush()
    assert not folder.exists()
    log.put(FLIPS[1])
    log.flush()
    (path,) = folder.iterdir()
    assert read_log(path).events == FLIPS[:2]


def test_the_end_of_a_performance_without_flips_makes_a_log(open_log, tmp_path):
    log, _ = open_log(lambda: open_next_log(tmp_path), later_seconds=3600)
    log.put(FLIPS[0])
    log.put(End(9, 9, 4))
    log.close()
    assert len(list(tmp_path.iterdir())) == 1


@pytest.mark.parametrize("n_cut", range(1, 40, 7))
def test_a_last_line_that_is_torn_is_left_out(tmp_path, n_cut):
    path = tmp_path / "x.jsonl"
    path.write_bytes(b"".join(map(to_line, [HEADER, *FLIPS]))[:-n_cut])
    assert read_log(path).events == FLIPS[:-1]


def test_on_a_full_disk_the_log_ends_with_one_line(open_log):
    log, lines = open_log(partial(Path("/dev/full").open, "wb", buffering=0))
    for event in FLIPS:
        log.put(event)
        log.flush()
    assert len(lines) == 1 and "No space left" in lines[0]
    # What is kept has the events all the same.
    assert log.event_lines() == b"".join(map(to_line, FLIPS))


def test_a_folder_that_cannot_be_written_costs_one_line(open_log, tmp_path):
    (tmp_path / "file").touch()
    log, lines = open_log(lambda: open_next_log(tmp_path / "file" / "performances"))
    log.put(FLIPS[0])
    log.flush()
    assert len(lines) == 1


def test_a_log_ends_at_its_limit_with_one_line(open_log, tmp_path):
    path = tmp_path / "x.jsonl"
    log, lines = open_log(lambda: open_log_file(path), most_bytes=300)
    for event in 4 * FLIPS:
        log.put(event)
        log.flush()
    assert len(lines) == 1 and "no longer logged" in lines[0]
    assert read_log(path).events == FLIPS[:4]
    assert log.event_lines() == b"".join(map(to_line, FLIPS[:4]))


def test_a_file_that_is_there_is_never_replaced(tmp_path):
    path = tmp_path / "x.jsonl"
    path.write_text("precious")
    with pytest.raises(OutputError, match="expected a free name"):
        open_log_file(path)
    assert path.read_text() == "precious"
    with pytest.raises(OutputError, match="expected a folder"):
        open_log_file(tmp_path / "no folder" / "x.jsonl")


def test_the_folder_of_a_device_is_bounded_in_number_and_size(tmp_path, monkeypatch):
    for _ in range(5):
        open_next_log(tmp_path).close()
    (tmp_path / "notes.txt").touch()
    monkeypatch.setattr(performance_log, "MOST_LOGS", 4)
    open_next_log(tmp_path).close()
    logs = sorted(tmp_path.glob("*.jsonl"))
    assert [path.name[:6] for path in logs] == ["000003", "000004", "000005", "000006"]
    logs[0].write_bytes(bytes(1000))
    logs[1].write_bytes(bytes(1000))
    monkeypatch.setattr(performance_log, "MOST_FOLDER_BYTES", performance_log.MOST_BYTES + 1000)
    open_next_log(tmp_path).close()
    assert [path.name[:6] for path in sorted(tmp_path.glob("*.jsonl"))] == [
        "000004", "000005", "000006", "000007",
    ]  # fmt: skip
    assert (tmp_path / "notes.txt").exists()


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can be misled")
def test_root_writes_no_log_into_a_folder_of_another_account(tmp_path):
    folder = tmp_path / "performances"
    folder.mkdir()
    os.chown(folder, 65534, 65534)
    with pytest.raises(OSError, match="another account"):
        open_next_log(folder)
    assert list(folder.iterdir()) == []


def test_a_link_in_place_of_a_log_is_not_followed(tmp_path):
    target = tmp_path / "target"
    (tmp_path / "x.jsonl").symlink_to(target)
    with pytest.raises(OutputError):
        open_log_file(tmp_path / "x.jsonl")
    assert not target.exists()
    with pytest.raises(FileExistsError):
        create_shared(tmp_path / "x.jsonl")


def line(entry, **changes):
    content = {**json.loads(to_line(entry)), **changes}
    return json.dumps({k: v for k, v in content.items() if v != "absent"}).encode() + b"\n"


@pytest.mark.parametrize(
    ("lines", "message"),
    [
        ([], "no whole line"),
        ([b"{}\n"], "event start first"),
        ([b"\x00\xff\n"], "expected JSON"),
        ([b"[1]\n"], "an object"),
        ([b"[" * 100_000 + b"\n"], "expected JSON"),
        ([line(HEADER, format=2, software="9.1")], "format 2 of version 9.1"),
        ([line(HEADER, sample_rate="22050")], "found sample_rate"),
        ([line(HEADER, sample_rate=0)], "sample_rate"),
        ([line(HEADER, stretch=[5, 2])], "the stretch"),
        ([line(HEADER, stretch=[0, 1e9])], "the stretch"),
        ([line(HEADER, extra=1)], "found the fields"),
        (
            [line(HEADER), line(FLIPS[0], event="tempo")],
            r"found the event 'tempo'.*version 0\.1\.0",
        ),
        ([line(HEADER), line(FLIPS[0], event=["flip"])], "found the event"),
        ([line(HEADER), line(FLIPS[0], frame="absent")], "line 2: flip: found the fields"),
        ([line(HEADER), line(FLIPS[0], frame=-1)], "found frame -1"),
        ([line(HEADER), line(FLIPS[0], frame=True)], "found frame True"),
        ([line(HEADER), line(FLIPS[0], bits=1)], "found bits 1"),
        ([line(HEADER), line(FLIPS[3]), line(FLIPS[0])], "out of order"),
        ([line(HEADER), line(End(1, 1, 1)), line(FLIPS[3])], "out of order"),
        ([line(HEADER), line(End(1, 1, 10**9))], "found a fade"),
    ],
)
def test_a_damaged_log_is_refused(tmp_path, lines, message):
    path = tmp_path / "x.jsonl"
    path.write_bytes(b"".join(lines))
    with pytest.raises(PerformanceError, match=message) as refusal:
        read_log(path)
    assert str(path) in str(refusal.value)


@pytest.mark.parametrize(
    "changes",
    [
        {"seed": -1}, {"seed": 1.5}, {"tempo_bpm": 10}, {"tape": 2}, {"glide_frames": 99},
        {"block_frames": 0}, {"start_beat": float("nan")}, {"quantize": "never"}, {"still": 1},
        {"journey": None}, {"unknown": 1},
    ],
)  # fmt: skip
def test_settings_that_this_version_cannot_play_with_are_refused(tmp_path, changes):
    path = tmp_path / "x.jsonl"
    path.write_bytes(line(HEADER, performance={**HEADER.performance, **changes}))
    with pytest.raises(PerformanceError, match=r"version 0\.1\.0 wrote the log"):
        performance_of(read_log(path).header)


def test_a_log_from_before_there_were_journeys_is_played_without(tmp_path):
    path = tmp_path / "x.jsonl"
    performance = dict(HEADER.performance)
    del performance["journey"]
    path.write_bytes(line(HEADER, performance=performance))
    assert performance_of(read_log(path).header) == performance_of(HEADER)
    assert not performance_of(HEADER).journey


@pytest.mark.parametrize("name", ["absent.jsonl", "."])
def test_a_log_that_cannot_be_read_is_refused(tmp_path, name):
    with pytest.raises(PerformanceError, match="expected the log of a performance"):
        read_log(tmp_path / name)
