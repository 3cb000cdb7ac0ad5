"""A small Free Music Archive in the published format, with synthetic music."""

from __future__ import annotations

import csv

import soundfile

from tests.support.synthetic_music import song
from training.corpus.format import SAMPLE_RATE

GENRES = """genre_id,#tracks,parent,title,top_level
12,32923,0,Rock,12
27,6041,12,Lo-Fi,12
901,12,27,"Lo-Fi, Bedroom",12
21,12706,0,Hip-Hop,21
"""
# The published table has 52 columns; these are enough to differ from the order they are used in.
COLUMNS = (
    ("album", "title"), ("artist", "bio"), ("artist", "name"), ("set", "split"),
    ("set", "subset"), ("track", "genre_top"), ("track", "genres"), ("track", "genres_all"),
    ("track", "license"), ("track", "title"),
)  # fmt: skip
BY = "Attribution 3.0 International"
BY_NC_SA = "Attribution-Noncommercial-Share Alike 3.0 United States"
BIO = 'born, raised\nand "recorded"' + 200_000 * "x"  # longer than csv's default limit

# id: artist, subset, genres_all, licence, title
TRACKS = {
    2: ("Ann", "small", "[12, 27]", BY, "Two"),
    10: ("Ann", "medium", "[12, 27]", BY, "Ten"),
    1002: ("Bob", "small", "[12, 27, 901]", BY_NC_SA, "Further"),
    1003: ("Cid", "small", "[21]", BY, "Another genre"),
    1004: ("Dee", "small", "[27]", BY, "Not there"),
    1005: ("Eve", "small", "[27]", BY, "No audio"),
    1006: ("Fay", "small", "[27]", "", "Cut short"),
    1007: ("Gus", "large", "[27]", BY, "Too large"),
}


def write_archive(folder, tracks=TRACKS):
    """Write metadata, and the audio of small and medium."""
    write_tables(folder, tracks)
    for subset in ("small", "medium"):
        _write_audio(folder / f"fma_{subset}")
    return folder


def write_tables(folder, tracks=TRACKS):
    """Write metadata, and an empty folder of the small subset."""
    (folder / "fma_small").mkdir(parents=True)
    (folder / "fma_metadata").mkdir(parents=True)
    (folder / "fma_metadata" / "genres.csv").write_text(GENRES, encoding="utf-8")
    with (folder / "fma_metadata" / "tracks.csv").open("w", newline="", encoding="utf-8") as file:
        rows = csv.writer(file)
        rows.writerow(["", *(group for group, _ in COLUMNS)])
        rows.writerow(["", *(name for _, name in COLUMNS)])
        rows.writerow(["track_id", *("" for _ in COLUMNS)])
        for number, (artist, subset, genres, licence, title) in tracks.items():
            cells = ["Album", BIO, artist, "training", subset, "Rock", "[27]", genres, licence]
            rows.writerow([number, *cells, title])
        rows.writerow(["1", "2", "3"])


def _write_audio(folder):
    for name in ("000", "001"):
        (folder / name).mkdir(parents=True)
    for number in (2, 10, 1002, 1003):
        path = folder / f"{number // 1000:03d}" / f"{number:06d}.mp3"
        soundfile.write(path, song(9, 88.0 + number % 7, seed=number), SAMPLE_RATE, format="MP3")
    (folder / "001" / "001005.mp3").touch()
    soundfile.write(folder / "001" / "001006.mp3", song(1, 90.0), SAMPLE_RATE, format="MP3")
