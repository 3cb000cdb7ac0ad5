"""A folder of recordings, made once."""

from __future__ import annotations

import numpy as np
import pytest
import soundfile

from tests.support.synthetic_music import babble, click_track, song, tagged
from training.corpus.format import SAMPLE_RATE


def write_broken_mp3(path):
    """Real frames, then noise where frames should be."""
    soundfile.write(path, song(30, 100.0), SAMPLE_RATE, format="MP3")
    frames = bytearray(path.read_bytes())
    middle = len(frames) // 2
    frames[middle:] = np.random.default_rng(0).bytes(len(frames) - middle)
    path.write_bytes(frames)


@pytest.fixture(scope="session")
def music_folder(tmp_path_factory):
    """Recordings of several kinds, good, damaged and unusable; tests do not change it."""
    folder = tmp_path_factory.mktemp("music")
    (folder / "album").mkdir()
    slow = song(10, 80.0, lead_seconds=1.0, sample_rate=44100)
    tags = {"artist": "Ann", "title": "Four Chords", "license": "CC-BY-4.0"}
    tagged(folder / "album" / "slow.flac", slow, 44100, **tags)
    soundfile.write(folder / "fast.wav", song(10, 100.0, semitones=3), SAMPLE_RATE)
    # Of clicks alone any tempo may be found: long enough for a loop of the slowest.
    clicks = click_track(48, 90.0)
    loud = np.where(np.abs(clicks) > 0.02, 1.0, -1.0) * np.sign(clicks)
    soundfile.write(folder / "loud.wav", loud, SAMPLE_RATE)
    soundfile.write(folder / "short.wav", click_track(4, 90.0), SAMPLE_RATE)
    soundfile.write(folder / "silence.wav", np.zeros(10 * SAMPLE_RATE), SAMPLE_RATE)
    soundfile.write(folder / "talk.ogg", babble(25.0), SAMPLE_RATE)
    soundfile.write(folder / "hole.wav", np.full(SAMPLE_RATE, np.nan), SAMPLE_RATE, subtype="FLOAT")
    write_broken_mp3(folder / "torn.mp3")
    (folder / "empty.wav").touch()
    (folder / "broken.ogg").write_bytes(b"this is no music")
    (folder / "notes.txt").write_text("track list")
    return folder
