"""A corpus is written part by part, in any order, and killed anywhere, with the same bytes."""

from __future__ import annotations

import fcntl
import os
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.support.corpus_files import contents, write_corpus
from training.corpus import writer as writing
from training.corpus.format import BEATS_PER_LOOP, MARGIN, CorpusError
from training.corpus.generator import corpus_writer as studio
from training.corpus.generator.corpus_writer import write_studio_corpus
from training.corpus.generator.loop import render_loop
from training.corpus.parallel import Processes
from training.corpus.parts import PreparedLoop, make_part
from training.corpus.reader import Corpus
from training.corpus.writer import corpus_writer

BEATS = (np.arange(BEATS_PER_LOOP + 1) * 10.0).tolist()
PART_BYTES = 2 * 3 * 545_000
"""About what a part of three loops of the studio has."""


def loop(number, n_stems=0):
    rng = np.random.default_rng(number)
    audio = rng.uniform(-0.9, 0.9, 2 * MARGIN + int(BEATS[-1])).astype(np.float32)
    stems = {f"layer {n}": audio / (n + 1) for n in range(n_stems)} or None
    labels = {"swing": 0.5 + number / 100, "kit": "dusty", "take": number}
    return PreparedLoop(f"loop-{number}", audio, BEATS, number % 5 == 0, labels, {}, stems)


def loops_of_parts(sizes, n_stems=0):
    numbers = iter(range(sum(sizes)))
    return [[loop(next(numbers), n_stems) for _ in range(size)] for size in sizes]


def write_some(directory, parts, order):
    """Write parts in an order; the rest is missing."""
    with corpus_writer(directory, "studio", {"seed": 1}, [None] * len(parts)) as writer:
        for number in order:
            if number in writer.missing():
                writer.add(make_part(number, parts[number], [{"path": str(number), "reason": "x"}]))
        if not writer.missing():
            writer.finish(tempo_bpm=80.0, skipped=writer.skipped())


@pytest.fixture(autouse=True)
def small_parts(monkeypatch):
    monkeypatch.setattr(studio, "LOOPS_PER_PART", 3)


@pytest.fixture(scope="module")
def studio_corpus(tmp_path_factory):
    directory = tmp_path_factory.mktemp("studio") / "corpus"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(studio, "LOOPS_PER_PART", 3)
        write_studio_corpus(directory, seed=3, minutes=1.6)
    return directory


# -- shards ---------------------------------------------------------------------------------


@settings(max_examples=25, deadline=None)
@given(data=st.data(), sizes=st.lists(st.integers(0, 3), min_size=1, max_size=7))
def test_neither_order_nor_interruption_changes_a_byte(tmp_path_factory, data, sizes):
    folder, parts = tmp_path_factory.mktemp("any"), loops_of_parts(sizes, n_stems=2)
    order = data.draw(st.permutations(range(len(sizes))))
    cut = data.draw(st.integers(0, len(sizes)))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(writing, "SHARD_BYTES", 4 * 2 * len(loop(0).audio))
        write_some(folder / "in order", parts, range(len(sizes)))
        write_some(folder / "any", parts, order[:cut])
        write_some(folder / "any", parts, order)
    assert contents(folder / "any") == contents(folder / "in order")
    corpus = Corpus.open(folder / "any")
    expected = [each for part in parts for each in part]
    assert [record.id for record in corpus.records] == [each.id for each in expected]
    assert [skip["path"] for skip in corpus.header["skipped"]] == list(map(str, range(len(sizes))))
    for number, each in enumerate(expected):
        assert corpus.records[number].labels == each.labels
        np.testing.assert_allclose(corpus.audio(number), each.audio, atol=1e-4)
    most = max(shard["n_loops"] for shard in corpus.header["shards"])
    assert most <= 4


def test_many_parts_share_a_shard(tmp_path):
    corpus = write_corpus(tmp_path, *loops_of_parts([2, 0, 1, 3]))
    assert sorted(contents(tmp_path)) == ["corpus.json", "records-00000.npz", "shard-00000.npy"]
    assert corpus.header["shards"] == [{"n_loops": 6, "n_samples": 6 * len(loop(0).audio)}]


def test_a_part_larger_than_a_shard_is_a_shard_of_its_own(tmp_path, monkeypatch):
    monkeypatch.setattr(writing, "SHARD_BYTES", 2 * len(loop(0).audio))
    corpus = write_corpus(tmp_path, *loops_of_parts([1, 3, 1]))
    assert [shard["n_loops"] for shard in corpus.header["shards"]] == [1, 3, 1]
    assert [record.shard for record in corpus.records] == [0, 1, 1, 1, 2]


def test_a_shard_whose_records_were_removed_is_made_again(tmp_path, monkeypatch):
    monkeypatch.setattr(writing, "SHARD_BYTES", 4 * 2 * len(loop(0).audio))
    parts = loops_of_parts([2, 2, 2, 2, 2])
    write_some(tmp_path, parts, range(5))
    before = contents(tmp_path)
    (tmp_path / "records-00001.npz").unlink()
    write_some(tmp_path, parts, range(5))
    assert contents(tmp_path) == before


def test_stems_of_a_loop_are_read_back(tmp_path):
    parts = loops_of_parts([2, 1], n_stems=2)
    with corpus_writer(tmp_path, "studio", {"stems": ["a", "b"]}, [None, None]) as writer:
        for number in (1, 0):
            writer.add(make_part(number, parts[number]))
        writer.finish(tempo_bpm=80.0)
    stems = Corpus.open(tmp_path).stems(2)
    for name, expected in zip("ab", parts[1][0].stems.values(), strict=True):
        np.testing.assert_allclose(stems[name], expected, atol=1e-4)


def test_a_loop_without_its_margins_is_refused():
    short = replace(loop(0), audio=loop(0).audio[:-1])
    with pytest.raises(CorpusError, match="loop loop-0 has 17 beats and 8351 samples"):
        make_part(0, [short])


# -- several processes, and killed ones -----------------------------------------------------


def test_files_that_another_process_writes_are_left_and_those_of_killed_ones_are_removed(tmp_path):
    write_some(tmp_path, loops_of_parts([1, 1]), [0])
    written, left = tmp_path / ".shard-00000.npy.1.partial", tmp_path / ".part-000001.npz.2.partial"
    left.write_bytes(b"half")
    with written.open("wb") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        write_some(tmp_path, loops_of_parts([1, 1]), [1])
        assert written.exists()
    assert not left.exists()


def test_a_second_process_is_told_to_wait_and_changes_nothing(tmp_path):
    write_some(tmp_path, loops_of_parts([1, 1]), [0])
    before = contents(tmp_path)
    descriptor = os.open(tmp_path, os.O_RDONLY)
    fcntl.flock(descriptor, fcntl.LOCK_EX)
    with pytest.raises(CorpusError, match=r"in use: found another process .* wait for it"):
        write_some(tmp_path, loops_of_parts([1, 1]), [1])
    os.close(descriptor)
    assert contents(tmp_path) == before


def test_a_failing_write_leaves_no_file_behind(tmp_path, monkeypatch):
    def full_disk(*_, **__):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(np, "savez", full_disk)
    with pytest.raises(OSError, match="No space left"):
        write_some(tmp_path, loops_of_parts([1]), [0])
    assert list(contents(tmp_path)) == ["corpus.json"]


# -- the studio's corpus --------------------------------------------------------------------


def test_the_number_of_workers_does_not_change_a_byte(studio_corpus, tmp_path):
    write_studio_corpus(tmp_path / "two", seed=3, minutes=1.6, workers=Processes(2))
    assert contents(tmp_path / "two") == contents(studio_corpus)


def test_a_killed_run_continues_and_ends_with_the_same_bytes(studio_corpus, tmp_path, monkeypatch):
    directory = tmp_path / "killed"

    def killed_at_five(seed, index, **options):
        if index == 5:
            raise KeyboardInterrupt
        return render_loop(seed, index, **options)

    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(studio, "render_loop", killed_at_five)
        write_studio_corpus(directory, seed=3, minutes=1.6)
    # Also killed between a shard's audio and its records, and while writing a file.
    (directory / "shard-00000.npy").write_bytes(b"half")
    (directory / ".shard-00002.npy.123.partial").write_bytes(b"half")
    with pytest.raises(CorpusError, match="unfinished"):
        Corpus.open(directory)

    def second_half(seed, index, **options):
        assert index >= 3
        return render_loop(seed, index, **options)

    monkeypatch.setattr(studio, "render_loop", second_half)
    write_studio_corpus(directory, seed=3, minutes=1.6)
    assert contents(directory) == contents(studio_corpus)


@pytest.mark.parametrize("shard_bytes", [writing.SHARD_BYTES, PART_BYTES, PART_BYTES * 2])
def test_more_minutes_extend_a_corpus(tmp_path, monkeypatch, shard_bytes):
    monkeypatch.setattr(writing, "SHARD_BYTES", shard_bytes)
    write_studio_corpus(tmp_path / "at once", seed=3, minutes=1.6)
    write_studio_corpus(tmp_path / "grown", seed=3, minutes=0.8)
    write_studio_corpus(tmp_path / "grown", seed=3, minutes=1.6)
    assert contents(tmp_path / "grown") == contents(tmp_path / "at once")


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"seed": 4, "minutes": 1.6}, "with seed 3, requested 4: .* choose another --out"),
        ({"seed": 3, "minutes": 0.4}, "with minutes 1.6, requested 0.4"),
    ],
)
def test_other_parameters_are_refused_and_change_no_file(studio_corpus, options, message):
    before = contents(studio_corpus)
    with pytest.raises(CorpusError, match=message):
        write_studio_corpus(studio_corpus, **options)
    assert contents(studio_corpus) == before


def test_a_directory_with_other_things_is_refused(tmp_path):
    (tmp_path / "notes.txt").write_text("notes")
    with pytest.raises(CorpusError, match="holds no corpus"):
        write_studio_corpus(tmp_path, seed=1, minutes=0.2)
    assert list(contents(tmp_path)) == ["notes.txt"]
