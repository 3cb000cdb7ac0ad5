"""What is kept: the last minutes, whole or not at all, in a folder that is bounded."""

import json
import os
import threading
import wave

import numpy as np
import pytest

from device.audio.wav_file import to_pcm
from device.commands.build_recording import header_of
from device.errors import KeptError, OutputError
from device.playback.recording.keeper import Keeper
from device.playback.recording.kept_folder import KeptFolder, name_of, open_sound
from device.playback.recording.performance_log import PerformanceLog
from device.playback.recording.recorder import Recorder
from device.playback.recording.replay import read_log
from device.playback.recording.ring import MARGIN_SECONDS, Overwritten, SampleRing
from device.synthesis.performance import Performance
from tests.support.instrument_state import snapshot
from tests.support.waiting import wait_until

RATE = 100


def noise(n, seed=0):
    return np.random.default_rng(seed).uniform(-1.2, 1.2, n).astype(np.float32)


@pytest.mark.parametrize("n_samples", [0, 1, 999, 1000, 2499, 2500, 2501, 10_000])
def test_the_ring_holds_the_last_samples_as_a_wav_file_would(n_samples):
    ring, samples = SampleRing(RATE, 10), noise(n_samples)
    for first in range(0, n_samples, 77):
        ring.write(samples[first : first + 77])
    assert ring.settle() == ring.n_written == n_samples
    first = ring.first_of(n_samples)
    assert first == max(n_samples - 1000, 0)
    assert ring.read(first, n_samples).tobytes() == to_pcm(samples[first:]).tobytes()


def test_what_is_overwritten_meanwhile_is_not_read():
    ring = SampleRing(RATE, 10)
    ring.write(noise(1000))
    ring.write(noise(round((MARGIN_SECONDS - 1) * RATE)))
    assert len(ring.read(0, 1000)) == 1000
    ring.write(noise(1))
    ring.settle()
    with pytest.raises(Overwritten):
        ring.read(0, 1000)


@pytest.fixture
def folder(tmp_path):
    return KeptFolder(tmp_path / "kept", most_pieces=3, most_bytes=10_000)


def add(folder, name, content=b"x" * 100):
    return folder.add(name, {"sound.wav": lambda file: file.write(content)}, len(content))


def test_pieces_are_listed_found_and_removed(folder):
    assert folder.pieces() == []
    names = [add(folder, name).name for name in ("2026_a", "2026_a", "2027_b")]
    assert names == ["2026_a", "2026_a-2", "2027_b"]
    assert [piece.name for piece in folder.pieces()] == names
    assert folder.find("2027").name == "2027_b"
    assert folder.find("2026_a").name == "2026_a"
    assert folder.pieces()[0].n_bytes == 100
    for unclear in ("2026", "", "nothing", "..", "2027_b/../2026_a"):
        with pytest.raises(KeptError, match="expected one"):
            folder.find(unclear)
    assert folder.remove("2027") == "2027_b"
    assert [piece.name for piece in folder.pieces()] == names[:2]


def test_a_full_folder_refuses_and_nothing_is_removed(folder):
    for name in "abc":
        add(folder, name)
    with pytest.raises(KeptError, match="found 3 pieces, expected fewer than 3"):
        add(folder, "d")
    folder.remove("a")
    with pytest.raises(KeptError, match="expected room for"):
        add(folder, "d", b"x" * 10_000)
    assert [piece.name for piece in folder.pieces()] == ["b", "c"]


def test_a_disk_without_room_refuses(folder, monkeypatch):
    monkeypatch.setattr("device.playback.recording.kept_folder.free_bytes", lambda _: 2**20)
    with pytest.raises(KeptError, match="found 1 MB free"):
        add(folder, "a")


def test_a_piece_that_fails_leaves_nothing(folder):
    def fail(file):
        file.write(b"half")
        raise OSError(28, "No space left on device")

    with pytest.raises(OutputError, match="No space left"):
        folder.add("a", {"one": lambda file: file.write(b"x"), "sound.wav": fail}, 10)
    assert folder.pieces() == []
    assert [path.name for path in folder.directory.iterdir()] == [".lock"]


def test_what_a_killed_process_left_is_no_piece_and_goes_with_the_next(folder):
    add(folder, "a")
    left = folder.directory / ".part-12345"
    left.mkdir()
    (left / "sound.wav").write_bytes(b"half")
    assert [piece.name for piece in folder.pieces()] == ["a"]
    add(folder, "b")
    assert not left.exists()


def test_links_and_files_in_the_folder_are_no_pieces(folder, tmp_path):
    add(folder, "a")
    (folder.directory / "link").symlink_to(tmp_path)
    (folder.directory / "file").touch()
    assert [piece.name for piece in folder.pieces()] == ["a"]
    sound = folder.directory / "a" / "sound.wav"
    sound.unlink()
    sound.symlink_to("/etc/passwd")
    with pytest.raises(KeptError, match="expected a WAV file"):
        open_sound(folder.find("a"))


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can be misled")
def test_root_keeps_nothing_in_a_folder_of_another_account(folder):
    folder.directory.mkdir()
    os.chown(folder.directory, 65534, 65534)
    with pytest.raises(KeptError, match="another account"):
        add(folder, "a")


@pytest.mark.parametrize(
    ("title", "name"),
    [
        ("Rain at Night", "now_rain-at-night"),
        ("../../etc\x1b[2J", "now_etc-2j"),
        ("\u96e8", "now"),
        ("Sn\u00f6" + "x" * 100, "now_sno" + "x" * 37),
    ],
)
def test_the_name_of_a_piece_is_readable_and_harmless(title, name):
    assert name_of("now", title) == name


@pytest.fixture
def keeping(network, folder, tmp_path):
    """A keeper whose instrument is the test."""
    lines = []
    big = KeptFolder(folder.directory, most_pieces=3)
    with PerformanceLog(header_of(network, Performance()), None, lines.append) as log:
        recorder = Recorder(log, SampleRing(RATE, 10))
        with Keeper(
            recorder, recorder.ring, log, lambda: network.card, big, lines.append
        ) as keeper:
            yield recorder, keeper, lines


def test_a_request_keeps_sound_log_share_code_and_card(keeping, folder, network):
    recorder, keeper, lines = keeping
    samples = noise(1700)
    recorder.note_quality(1, 2)
    recorder.take(samples)
    keeper(snapshot())
    assert lines == []
    recorder.keep()
    keeper(snapshot(digest=network.digest))
    recorder.take(noise(500))
    wait_until(lambda: lines)
    (piece,) = folder.pieces()
    assert lines == [f"kept 10.0 s in {piece.path}"]
    assert {path.name for path in piece.path.iterdir()} == {
        "sound.wav", "performance.jsonl", "model.json", "about.json",
    }  # fmt: skip
    with wave.open(str(piece.path / "sound.wav")) as wav:
        assert wav.getparams()[:4] == (1, 2, RATE, 1000)
        assert wav.readframes(1000) == to_pcm(samples[700:]).tobytes()
    log = read_log(piece.path / "performance.jsonl")
    assert log.header.stretch == (700, 1700)
    assert len(log.events) == 1
    assert json.loads((piece.path / "model.json").read_text())["title"] == network.card.title
    assert (piece.title, piece.seconds) == (network.card.title, 10.0)
    assert piece.share_code.count("-") >= 2


def test_while_one_piece_is_written_another_request_is_refused_and_the_loop_does_not_wait(
    keeping, folder, monkeypatch
):
    recorder, keeper, lines = keeping
    begun, released = threading.Event(), threading.Event()

    def waiting(*_):
        begun.set()
        assert released.wait(20)
        raise OSError(5, "Input/output error")

    with monkeypatch.context() as patch:
        patch.setattr("device.playback.recording.kept_folder.flush_file", waiting)
        recorder.keep()
        keeper(snapshot())
        assert begun.wait(20)
        recorder.keep()
        keeper(snapshot())
        assert len(lines) == 1 and "still being written" in lines[0]
        released.set()
        wait_until(lambda: len(lines) == 2)
    assert lines[1].startswith("nothing was kept: ") and "Input/output" in lines[1]
    assert folder.pieces() == []
    wait_until(lambda: not keeper._is_busy)
    recorder.keep()
    keeper(snapshot())
    wait_until(lambda: len(lines) == 3)
    assert len(folder.pieces()) == 1


def test_a_request_just_before_the_end_is_kept(keeping, folder):
    recorder, keeper, _ = keeping
    recorder.take(noise(300))
    recorder.keep()
    keeper(snapshot())
    keeper.close()
    assert len(folder.pieces()) == 1
