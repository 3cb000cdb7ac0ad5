"""Versions are ordered as PEP 440 has it."""

import itertools

import pytest

from device.updates.software.version_order import order_of

# In this order, as PEP 440 lists them.
VERSIONS = (
    "0.9",
    "1.dev0",
    "1.0.dev456",
    "1.0a1",
    "1.0a2.dev456",
    "1.0a12.dev456",
    "1.0a12",
    "1.0b1.dev456",
    "1.0b2",
    "1.0b2.post345.dev456",
    "1.0b2.post345",
    "1.0rc1.dev456",
    "1.0rc1",
    "1.0",
    "1.0.post456.dev34",
    "1.0.post456",
    "1.0.15",
    "1.1.dev1",
    "1.10",
)


def test_versions_are_in_the_order_of_pep_440():
    for older, newer in itertools.pairwise(VERSIONS):
        assert order_of(older) < order_of(newer), (older, newer)


def test_zeros_at_the_end_and_local_parts_are_the_same_version():
    assert order_of("1") == order_of("1.0.0") == order_of("1.0+local.1")


@pytest.mark.parametrize("text", ["", "1.", "v1", "1.0 ", "1.0-1", "one", "1.0\n", "1" * 99])
def test_other_text_is_no_version(text):
    assert order_of(text) is None
