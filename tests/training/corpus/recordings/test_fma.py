"""The Free Music Archive as published, with its broken files and its licences."""

from __future__ import annotations

import codecs

import pytest
from click.testing import CliRunner
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.support.fma_archive import BY, BY_NC_SA, TRACKS, write_archive, write_tables
from training.commands.corpus import corpus as command
from training.corpus.format import CorpusError
from training.corpus.reader import Corpus
from training.corpus.recordings.fma import (
    Genre,
    choose_tracks,
    find_genres,
    read_genres,
    read_tracks,
)
from training.corpus.recordings.licences import CODES, is_allowed, licence_code


@pytest.fixture(scope="module")
def archive(tmp_path_factory):
    return write_archive(tmp_path_factory.mktemp("fma"))


def names(pieces):
    return [piece.name for piece in pieces]


def test_the_table_is_read_with_its_two_rows_of_names(archive):
    skipped = []
    tracks = {t.id: t for t in read_tracks(archive / "fma_metadata" / "tracks.csv", skipped)}
    assert list(tracks) == list(TRACKS)
    assert tracks[1002].genres == {12, 27, 901}
    assert tracks[1002].name == "001/001002.mp3"
    assert (tracks[2].tags.artist, tracks[2].tags.title) == ("Ann", "Two")
    assert tracks[2].tags.licence == BY
    assert tracks[1006].tags.licence is None
    assert "not a track" in skipped[0].reason


@pytest.mark.parametrize("table", ["tracks.csv", "genres.csv"])
def test_a_table_may_begin_with_a_byte_order_mark(archive, tmp_path, table):
    path = archive / "fma_metadata" / table
    marked = tmp_path / table
    marked.write_bytes(codecs.BOM_UTF8 + path.read_bytes())
    read = read_genres if table == "genres.csv" else lambda path: list(read_tracks(path, []))
    assert read(marked) == read(path)


def test_a_genre_is_found_in_any_case_with_all_that_belong_to_it(archive):
    genres = read_genres(archive / "fma_metadata" / "genres.csv")
    assert genres[901] == Genre("Lo-Fi, Bedroom", 27)
    assert find_genres(genres, ["lo-fi"]) == {27, 901}
    assert find_genres(genres, ["Rock", "Hip-Hop"]) == {12, 27, 901, 21}
    with pytest.raises(CorpusError, match="unknown genre 'LoFi', did you mean Lo-Fi"):
        find_genres(genres, ["LoFi"])


def test_a_cycle_of_genres_ends():
    cycle = {1: Genre("A", 2), 2: Genre("B", 1), 3: Genre("C", 0)}
    assert find_genres(cycle, ["A"]) == {1, 2}


def test_a_subset_holds_the_smaller_ones(archive):
    small = choose_tracks(archive, subset="small", genres=["Lo-Fi"])
    medium = choose_tracks(archive, subset="medium", genres=["Lo-Fi"])
    kept = ["000/000002.mp3", "001/001002.mp3", "001/001005.mp3", "001/001006.mp3"]
    assert names(small.pieces) == kept
    assert names(medium.pieces) == sorted([*kept, "000/000010.mp3"])
    reasons = {skip.path: skip.reason for skip in small.refused}
    assert reasons["001/001004.mp3"] == "missing from the archive"


def test_licences_are_refused_on_request(archive):
    free = choose_tracks(archive, subset="small", genres=["Lo-Fi"], licences=["by", "cc0"])
    assert names(free.pieces) == ["000/000002.mp3", "001/001005.mp3"]
    reasons = {skip.path: skip.reason for skip in free.refused}
    assert reasons["001/001002.mp3"] == f"licence {BY_NC_SA!r} is not among those requested"
    assert "'unknown'" in reasons["001/001006.mp3"]
    by_name = choose_tracks(archive, subset="small", genres=["Lo-Fi"], licences=[BY_NC_SA])
    assert names(by_name.pieces) == ["001/001002.mp3"]
    with pytest.raises(CorpusError, match="unknown licence 'GPL', expected some of by, by-sa"):
        choose_tracks(archive, subset="small", genres=["Lo-Fi"], licences=["GPL"])


# Names as in the published table, and other spellings.
@pytest.mark.parametrize(
    ("licence", "code"),
    [
        ("Attribution", "by"),
        ("Attribution 3.0 Netherlands", "by"),
        ("Creative Commons Attribution", "by"),
        ("Attribution-ShareAlike 3.0 International", "by-sa"),
        ("Attribution-Share Alike 3.0 United States", "by-sa"),
        ("Attribution-NonCommercial 3.0 International", "by-nc"),
        ("Attribution-Noncommercial-Share Alike 3.0 United States", "by-nc-sa"),
        ("Attribution-NonCommercial-ShareAlike 3.0 International", "by-nc-sa"),
        ("Attribution-NoDerivatives 4.0 International", "by-nd"),
        ("Attribution-No Derivative Works 2.5 Italy", "by-nd"),
        ("Attribution-Noncommercial-No Derivative Works 3.0 United States", "by-nc-nd"),
        (
            "Attribution-NonCommercial-NoDerivatives (aka Music Sharing) 3.0 International",
            "by-nc-nd",
        ),
        ("Creative Commons Attribution-NonCommercial-NoDerivatives 4.0", "by-nc-nd"),
        ("Attribution-NonCommercial-NoDerivs 3.0 Poland", "by-nc-nd"),
        ("Music Sharing", "by-nc-nd"),
        ("CC0 1.0 Universal", "cc0"),
        ("Public Domain Mark 1.0", "public-domain"),
        ("Noncommercial Sampling Plus", "other"),
        ("FMA-Limited: Download Only", "other"),
        ("Free Art License", "other"),
        ("CC BY-NC-SA 4.0", "by-nc-sa"),
        ("http://creativecommons.org/licenses/by-sa/3.0/", "by-sa"),
        ("https://creativecommons.org/publicdomain/zero/1.0/", "cc0"),
        ("CC BY NC ND", "by-nc-nd"),
        ("cc by nc 3.0", "by-nc"),
        ("CCBYNCSA", "by-nc-sa"),
        ("CC BY-SA 3.0 US", "by-sa"),
        ("cc-by_nc 2.5 se", "by-nc"),
        ("Attribution\u2013Non\u2011Commercial\u2014Share\u2212Alike", "by-nc-sa"),
        ("Attribution-Non\u00adCommercial", "by-nc"),
        ("\uff23\uff23 \uff22\uff39\uff0d\uff2e\uff23", "by-nc"),
        ("Attribution, Non Commercial (CC BY-NC)", "by-nc"),
        ("Attribution 4.0 International (CC BY-NC 4.0)", "by-nc"),
        ("Attribution-NoDerivs-NonCommercial 1.0", "by-nc-nd"),
        ("Attribution 2.0 UK: England & Wales", "by"),
        (
            "This work is licensed under a Creative Commons Attribution 4.0 International License.",
            "by",
        ),
        ("Public Domain Dedication (CC0)", "cc0"),
        ("Creative Commons Zero v1.0 Universal", "cc0"),
        ("https://creativecommons.org/licenses/by-nd-nc/1.0/", "by-nc-nd"),
        ("creativecommons.org/licenses/by/2.0/de/deed.de", "by"),
        ("http://creativecommons.org/publicdomain/mark/1.0/", "public-domain"),
        ("http://creativecommons.org/licenses/sampling+/1.0/", "other"),
        ("http://creativecommons.org/licenses/by/3.0/?nc", "other"),
        ("http://creativecommons.org/licenses/by-nx/3.0/", "other"),
        ("http://creativecommons.org.example/licenses/by/3.0/", "other"),
        ("Attribution-Noncommercia-Share Alike 2.5 Mexico", "other"),
        ("Attribution-Noncomercial", "other"),
        ("Attribution-N\u043encommercial", "other"),
        ("Attribution-Pas d'Utilisation Commerciale 2.0 France", "other"),
        ("Attribution-NichtKommerziell 3.0", "other"),
        ("Reconocimiento-NoComercial 3.0", "other"),
        ("Attribution 3.0, personal use only", "other"),
        ("Attribution, all rights reserved", "other"),
        ("CC BY + no ads", "other"),
        ("not CC0", "other"),
        ("not in the public domain", "other"),
        ("Public Domain, Attribution", "other"),
        ("Attribution-ShareAlike-NoDerivs", "other"),
        ("CC", "other"),
        ("Creative Commons", "other"),
        ("by chance", "other"),
        ("Recorded by Ann", "other"),
        ("", "other"),
        (None, "other"),
    ],
)
def test_a_licence_has_one_code_however_it_is_spelt(licence, code):
    assert licence_code(licence) == code
    assert code in CODES
    assert is_allowed(licence, [code])
    assert not is_allowed(licence, set(CODES) - {code})


CONDITIONS = {"by": set(), "by-nc": {"nc"}, "by-sa": {"sa"}, "by-nd": {"nd"}}
CONDITIONS |= {"by-nc-sa": {"nc", "sa"}, "by-nc-nd": {"nc", "nd"}}
NAMES = {"by": "Attribution", "nc": "NonCommercial", "sa": "ShareAlike", "nd": "NoDerivs"}


@settings(max_examples=200, deadline=None, derandomize=True, database=None)
@given(
    code=st.sampled_from(sorted(CONDITIONS)),
    is_spelt_out=st.booleans(),
    dash=st.sampled_from(["-", " ", "\u2010", "\u2014", " - ", "_", "/"]),
    version=st.sampled_from(
        ["", " 2.5", " 3.0 Unported", " 4.0 International", " 3.0 United States"]
    ),
    typo=st.none() | st.tuples(st.integers(0, 60), st.sampled_from(["", "x", "-", " ", "\u00e9"])),
)
def test_no_spelling_makes_a_licence_freer(code, is_spelt_out, dash, version, typo):
    parts = [NAMES[part] if is_spelt_out else part.upper() for part in code.split("-")]
    text = ("" if is_spelt_out else "CC ") + dash.join(parts) + version
    if typo is None:
        assert licence_code(text) == code
        return
    position, letter = typo  # one letter replaced, or dropped
    result = licence_code(text[:position] + letter + text[position + 1 :])
    if position >= len(text):
        assert result in {code, "other"}
    else:
        assert result == "other" or CONDITIONS[result] >= CONDITIONS[code]


def test_the_command_makes_loops_with_artist_title_and_licence(archive, tmp_path):
    out = tmp_path / "corpus"
    options = ["--subset", "medium", "--genre", "Lo-Fi", "--out", str(out), "--workers", "1"]
    result = CliRunner().invoke(command, ["fma", str(archive), *options])
    assert result.exit_code == 0, result.output
    assert "missing from the archive" in result.output
    corpus = Corpus.open(out)
    assert (corpus.header["source"], corpus.header["genres"]) == ("fma", ["Lo-Fi"])
    tracks = {record.provenance["fma"]: record.provenance for record in corpus.records}
    assert set(tracks) == {2, 10, 1002}
    assert tracks[1002]["path"] == "001/001002.mp3"
    assert [tracks[1002][key] for key in ("artist", "title", "licence")] == [
        "Bob", "Further", BY_NC_SA,
    ]  # fmt: skip
    reasons = {skip["path"]: skip["reason"] for skip in corpus.header["skipped"]}
    assert "unreadable" in reasons["001/001005.mp3"]
    assert "shorter than one loop" in reasons["001/001006.mp3"]
    assert corpus.provenance_summary()["licences"] == [BY, BY_NC_SA]
    again = CliRunner().invoke(command, ["fma", str(archive), *options])
    assert "was complete already" in again.output
    other = CliRunner().invoke(command, ["fma", str(archive), *options, "--licences", "by"])
    assert "choose another --out" in str(other.exception)


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("tracks.csv", b"track_id,title\n2,Two\n", "no column set/subset in its first two rows"),
        ("tracks.csv", b"\xff\xfe\x00", "cannot be read as CSV"),
        ("tracks.csv", b"", "no column set/subset"),
        ("tracks.csv", None, r"tracks.csv cannot be read \(No such file"),
        ("genres.csv", b"number,name\n27,Lo-Fi\n", "no column genre_id"),
        ("genres.csv", b"", "no column genre_id"),
    ],
)
def test_tables_that_are_not_as_published_are_refused(tmp_path, name, content, message):
    write_tables(tmp_path)
    path = tmp_path / "fma_metadata" / name
    path.unlink() if content is None else path.write_bytes(content)
    with pytest.raises(CorpusError, match=message):
        choose_tracks(tmp_path, subset="small", genres=["Lo-Fi"])


INVALID = ["[Infinity]", "[-Infinity]", "[NaN]", "[1e400]", "[27.9]", "[true]", "27", '"27"']
INVALID += ['{"27": 1}', '["27"]', "[[27]]", "null", "", "[27", "[" * 100_000, f"[{'9' * 5_000}]"]


def test_a_track_with_invalid_genres_is_listed_and_the_others_are_read(tmp_path):
    tracks = {n: ("Ann", "small", genres, BY, "Odd") for n, genres in enumerate(INVALID, 1)}
    write_tables(tmp_path, tracks | {900: ("Bob", "small", "[27]", BY, "Good")})
    skipped = []
    table = tmp_path / "fma_metadata" / "tracks.csv"
    assert [track.id for track in read_tracks(table, skipped)] == [900]
    # The last is the archive's own short row.
    assert len(skipped) == len(INVALID) + 1
    assert all(len(skip.reason) < 200 for skip in skipped)


@pytest.mark.parametrize("number", ["\u00b2", "\u0663", "1_0", "-5", "5.0", "", "9" * 5_000])
def test_numbers_are_plain_digits_in_both_tables(tmp_path, number):
    write_tables(tmp_path, {number: ("Ann", "small", "[27]", BY, "Odd")} if number else {})
    skipped = []
    assert list(read_tracks(tmp_path / "fma_metadata" / "tracks.csv", skipped)) == []
    genres = tmp_path / "genres.csv"
    text = f"genre_id,parent,title\n27,{number},Lo-Fi\n{number},27,Odd\n"
    genres.write_text(text, encoding="utf-8-sig")
    assert read_genres(genres) == {27: Genre("Lo-Fi", 0)}


def test_an_incomplete_archive_is_reported_with_what_to_unpack(archive, tmp_path):
    with pytest.raises(CorpusError, match=r"fma_large is not a directory: unpack fma_large\.zip"):
        choose_tracks(archive, subset="large", genres=["Lo-Fi"])
    (tmp_path / "fma_small").mkdir()
    with pytest.raises(CorpusError, match=r"unpack fma_metadata\.zip"):
        choose_tracks(tmp_path, subset="small", genres=["Lo-Fi"])


def test_a_choice_without_any_track_is_reported(archive):
    with pytest.raises(CorpusError, match=r"none of the 5 tracks of Lo-Fi in .* is left"):
        choose_tracks(archive, subset="small", genres=["Lo-Fi"], licences=["cc0"])
