"""Models of the package have names."""

import pytest

from device.errors import ModelNotFound
from device.files import sha256_of
from device.model.bundled import (
    BUNDLED_MODEL,
    BUNDLED_MODELS,
    bundled_digest,
    bundled_digests,
    bundled_model,
)


def test_each_has_a_name_and_the_first_one_none():
    assert bundled_model("bundled") == BUNDLED_MODEL
    for name, path in BUNDLED_MODELS.items():
        assert bundled_model(f"bundled:{name}") == path
        assert path.is_file()


@pytest.mark.parametrize("word", ["", "lofi.onnx", "bundles", "models/bundled.onnx"])
def test_other_words_are_no_names(word):
    assert bundled_model(word) is None


def test_an_unknown_name_is_answered_with_those_that_there_are():
    with pytest.raises(ModelNotFound, match=r"'bundled:choir'.*expected bundled:"):
        bundled_model("bundled:choir")


def test_their_hashes_are_those_of_the_files():
    assert bundled_digest() == sha256_of(BUNDLED_MODEL)
    assert list(bundled_digests().values()) == list(BUNDLED_MODELS.values())
