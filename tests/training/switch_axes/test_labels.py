"""Switches from labels of the music."""

from types import SimpleNamespace

import numpy as np
import pytest
import torch

from training.corpus.format import HELD_OUT, TRAIN, CorpusError
from training.corpus.records import LoopRecord
from training.features.descriptors import NAMES
from training.switch_axes.labels import LabelledAxes, factors, read_tags, tag_names, tagged

N_LOOPS = 200


def corpus_of(loops):
    """Enough of a corpus: records with labels and the path of a track."""
    records = [
        LoopRecord(f"loop-{n}", 0, 0, (), split, labels, {"path": path})
        for n, (split, labels, path) in enumerate(loops)
    ]
    return SimpleNamespace(directory="corpus", records=tuple(records))


@pytest.fixture
def studio():
    kinds = [
        {"drums_on": n % 2 == 0, "mode": ["major", "minor"][n % 3 == 0], "reverb": n / 60}
        | {"bars": 4, "chord_names": ["Am7"], "silence": 1.0 * (n == 7), "hush": n % 2}
        for n in range(60)
    ]
    return corpus_of([(TRAIN, labels, "") for labels in kinds])


def test_factors_of_the_corpus_become_columns(studio):
    columns = factors(studio, ["drums", "mode=minor", "reverb"])
    assert columns.shape == (60, 3)
    assert columns.dtype == np.float32
    np.testing.assert_allclose(
        columns[:4], [[1, 1, 0], [0, 0, 1 / 60], [1, 0, 1 / 30], [0, 1, 0.05]]
    )


@pytest.mark.parametrize(
    ("names", "message"),
    [
        (["drum"], r"no label 'drum' .* expected some of drums, hush, mode=major, reverb, silence"),
        (["mode"], r"no label 'mode'"),
        (["mode=lydian"], r"no label 'mode=lydian'"),
        (["chord_names"], r"no label 'chord_names'"),
        (["bars"], r"label 'bars': found 4 in 60 of 60 loops .* leave it out"),
        (["drums", "hush"], r"labels 'drums' and 'hush' are the same for all loops"),
        (["mode=minor", "mode=major"], r"are the same for all loops"),
    ],
)
def test_a_factor_that_is_no_switch_is_rejected(studio, names, message):
    with pytest.raises(CorpusError, match=message):
        factors(studio, names)


def test_a_corpus_without_labels_names_the_remedy():
    with pytest.raises(CorpusError, match=r"expected some of none: this corpus has none, see"):
        factors(corpus_of([(TRAIN, {}, "a.ogg")]), ["drums"])


def table(tmp_path, text):
    path = tmp_path / "tags.csv"
    path.write_text(text, encoding="utf-8")
    return path


def test_tags_are_read_the_most_frequent_first(tmp_path):
    tags = read_tags(table(tmp_path, "track,tags\na.ogg,calm; warm\n\nb/ü.ogg,warm\nc.ogg,\n"))
    assert tags == {"a.ogg": {"calm", "warm"}, "b/ü.ogg": {"warm"}, "c.ogg": set()}
    assert tag_names(tags) == ("warm", "calm")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", r"found nothing in the first line, expected track,tags"),
        ("file,mood\na,b\n", r"found file,mood in the first line, expected track,tags"),
        ("track,tags\na,b,c\n", r"line 2 holds 'a,b,c', expected .* separated by ';'"),
        ('track,tags\na,"b,c"\n', r"line 2 holds 'a,b,c'"),
        ("track,tags\na,b\na,c\n", r"line 3 .* a track not named before"),
    ],
)
def test_another_table_is_rejected(tmp_path, text, message):
    with pytest.raises(CorpusError, match=message):
        read_tags(table(tmp_path, text))


def test_a_table_that_is_not_there_or_not_text_is_rejected(tmp_path):
    with pytest.raises(CorpusError, match=r"cannot be read"):
        read_tags(tmp_path / "none.csv")
    (tmp_path / "bytes.csv").write_bytes(b"\xff\xfe\xff")
    with pytest.raises(CorpusError, match=r"cannot be read"):
        read_tags(tmp_path / "bytes.csv")


TAGS = {"a.ogg": {"calm"}, "b.ogg": {"warm"}, "c.ogg": {"warm", "rare", "loud"}}


@pytest.fixture
def folder():
    loops = [(TRAIN, {}, "a.ogg"), (TRAIN, {}, "b.ogg"), (HELD_OUT, {}, "c.ogg")]
    return corpus_of(loops * 3)


def test_every_loop_of_a_track_has_its_tags(folder):
    columns = tagged(folder, TAGS, ["calm"])
    assert columns[:, 0].tolist() == [1, 0, 0] * 3


@pytest.mark.parametrize(
    ("tags", "names", "message"),
    [
        (TAGS, ["clam"], r"no track has the tag 'clam', expected some of warm, calm, loud, rare"),
        (TAGS, ["rare"], r"label 'rare': found 0 in 6 of 6 loops to train on"),
        (TAGS, ["calm", "warm"], r"'calm' and 'warm' are the same"),
        ({"a.ogg": {"calm"}}, ["calm"], r"no line for 2 of 3 tracks of corpus, such as b.ogg, c"),
    ],
)
def test_tags_that_do_not_fit_the_corpus_are_rejected(folder, tags, names, message):
    with pytest.raises(CorpusError, match=message):
        tagged(folder, tags, names)


@pytest.fixture(scope="module")
def fitted():
    """Loops with drums or without, always brighter with them, and with more or less reverb."""
    rng = torch.Generator().manual_seed(3)
    drums = (torch.rand(N_LOOPS, generator=rng) < 0.3).float()
    reverb = 2 + 0.5 * torch.randn(N_LOOPS, generator=rng)
    described = 0.1 * torch.randn(N_LOOPS, len(NAMES), generator=rng)
    described[:, NAMES.index("attacks")] += 2 * drums
    described[:, NAMES.index("motion")] -= reverb
    axes = LabelledAxes(("drums", "reverb"), 4, switch_range=1.25)
    axes.fit(described, torch.stack([drums, reverb], dim=1))
    return axes, described, torch.stack([drums, reverb], dim=1)


def test_a_yes_is_at_its_loops_and_a_number_is_in_standard_deviations(fitted):
    axes, described, labels = fitted
    position = axes.project(described, labels)
    assert position[:, 0].unique().tolist() == [-1, 1]
    assert position[:, 1].mean().abs() < 0.05
    torch.testing.assert_close(position[:, 1].std(), torch.tensor(1.0), atol=0.05, rtol=0)
    corner = axes.switch_position(torch.tensor([[1.0, 0.0]]))
    torch.testing.assert_close(corner, torch.tensor([[1.0, -1.25]]))


def test_the_effect_of_every_label_is_learnt_by_itself(fitted):
    axes, described, labels = fitted
    expected = axes.predict_descriptors(axes.project(described, labels))
    missed = (axes.standardise(described) - expected)[:, [NAMES.index("attacks")]]
    assert missed.abs().mean() < 0.2
    effect = axes.effect[[NAMES.index("attacks"), NAMES.index("motion")]]
    assert effect[0, 0] > 0.5
    assert effect[1, 1] < -0.5
    assert effect[0, 1].abs() < 0.1
    assert effect[1, 0].abs() < 0.1


def test_switches_are_called_what_the_owner_calls_them(fitted):
    assert fitted[0].names() == ("drums", "reverb")
