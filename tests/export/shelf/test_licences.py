"""What licences allow: the strictest conditions of all of a model's music."""

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from device.model.metadata import is_plain
from export.shelf.licences import LicenceRefused, Use, hub_identifier, strictest, terms_of
from tests.support.licensed_models import BY, BY_NC, BY_ND, CC0
from tests.support.model_cards import CARD
from training.corpus.recordings.licences import CODES

ALL, SHARE, PRIVATE = tuple(Use), (Use.PRIVATE, Use.SHARE), (Use.PRIVATE,)


def terms(*licences, stated=None, **provenance):
    corpus = {"licences": list(licences)} if licences else {}
    return terms_of(replace(CARD, provenance={"corpus": corpus, **provenance}), stated)


@pytest.mark.parametrize(
    ("licences", "code", "uses"),
    [
        ([CC0], "cc0", ALL),
        (["Public Domain Mark 1.0"], "public-domain", ALL),
        ([CC0, BY], "by", ALL),
        ([BY, BY_NC], "by-nc", SHARE),
        ([BY, "CC BY-NC-SA 4.0"], "by-nc-sa", SHARE),
        ([BY_ND], "by-nd", PRIVATE),
        ([CC0, "unknown"], "other", PRIVATE),
        (["all rights reserved"], "other", PRIVATE),
        ([], "other", PRIVATE),
        # Share alike: neither fewer conditions nor more.
        (["CC BY-SA 4.0", BY_NC], "other", PRIVATE),
        (["CC BY-SA 4.0", "CC BY-NC-SA 4.0"], "other", PRIVATE),
        (["CC BY-SA 4.0", BY], "by-sa", ALL),
    ],
)
def test_the_strictest_conditions_apply(licences, code, uses):
    found = terms(*licences)
    assert (found.code, found.uses) == (code, uses)


def test_music_of_the_run_before_counts_as_well():
    assert terms(CC0, start={"codec": {"corpus": {"licences": [BY_NC]}}}).uses == SHARE
    assert terms(CC0, start={"corpus": {}}).uses == PRIVATE
    assert terms(CC0, start={"corpus": "damaged"}).uses == PRIVATE


def test_a_model_without_any_corpus_is_of_unknown_licence():
    assert terms_of(replace(CARD, provenance={})).licences == ("unknown",)


@given(
    st.recursive(
        st.none() | st.booleans() | st.integers(-9, 9) | st.text(max_size=9).filter(is_plain),
        lambda inner: (
            st.lists(inner, max_size=3)
            | st.dictionaries(st.sampled_from(["corpus", "licences", "credits", "x"]), inner)
        ),
        max_leaves=12,
    )
)
def test_any_provenance_has_terms(value):
    found = terms_of(replace(CARD, provenance={"corpus": {"licences": [CC0]}, "start": value}))
    assert found.line.isprintable()
    assert Use.PRIVATE in found.uses


@given(st.lists(st.sampled_from(CODES), min_size=1))
def test_more_music_never_makes_a_model_freer(codes):
    names = [code if not code.startswith("by") else f"CC {code}" for code in codes]
    all_uses = [set(terms(name).uses) for name in names]
    assert set(terms(*names).uses) <= set.intersection(*all_uses)
    assert strictest(names) in CODES


def test_the_owner_states_the_licence_of_music_that_has_none_in_the_file():
    assert terms("unknown", stated=BY).uses == ALL
    assert terms("unknown", CC0, stated=BY).code == "by"
    # Not of other music.
    assert terms(BY_NC, stated=CC0).code == "by-nc"


def test_a_use_that_is_not_allowed_is_refused_with_the_reason_and_a_way_out():
    terms(BY).check("m.onnx", Use.SELL)
    with pytest.raises(LicenceRefused, match=r"m.onnx: found .* not sold.*--for share"):
        terms(BY_NC).check("m.onnx", Use.SELL)
    with pytest.raises(LicenceRefused, match=r"unknown: for private use alone.*--licence"):
        terms("unknown").check("m.onnx", Use.SHARE)


@pytest.mark.parametrize(
    ("licences", "identifier"),
    [
        ([CC0], "cc0-1.0"),
        ([BY], "cc-by-4.0"),
        ([BY, CC0], "cc-by-4.0"),
        ([BY, BY_NC], "other"),
        (["CC BY-NC 3.0"], "cc-by-nc-3.0"),
        (["CC BY"], "other"),
        (["unknown"], "unknown"),
    ],
)
def test_the_hub_gets_a_version_only_where_all_music_has_the_same(licences, identifier):
    assert hub_identifier(terms(*licences)) == identifier
