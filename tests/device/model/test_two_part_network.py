"""Models whose compose half is in two parts, so that a flip does not compose anew."""

import threading
from dataclasses import replace

import numpy as np
import pytest

from device.errors import ContractError, GoldenMismatch, ModelFailed
from device.model.contract import ModelCard, Tensor, check_tensors
from device.model.network import MOST_COMPOSITIONS, Network
from device.model.summary import describe as describe_file
from device.synthesis.performance import Performance
from device.synthesis.voice import Voice
from device.updates.validation import validate
from tests.support.tiny_model import Sizes, describe

N_CODES = 3
CARD = describe(Sizes(n_codes=N_CODES))
OLDER = ["1", "2", "3", "4"]
STATES = [np.array([i >> 2 & 1, i >> 1 & 1, i & 1], np.float32) for i in range(8)]
VARIATIONS = np.random.default_rng(0).standard_normal((8, 2)).astype(np.float32)
NAN = np.full(3, np.nan, np.float32)


@pytest.fixture
def two_parts(build_model):
    return Network.open(build_model(n_codes=N_CODES))


@pytest.fixture
def calls(two_parts, monkeypatch):
    """The first output of everything that the network computes from now on."""
    run, outputs_computed = two_parts._run, []

    def counted(outputs, **feeds):
        outputs_computed.append(outputs[0])
        return run(outputs, **feeds)

    two_parts._compositions.clear()
    monkeypatch.setattr(two_parts, "_run", counted)
    return outputs_computed


# -- the card ---------------------------------------------------------------------------------


def test_a_card_says_how_many_codes_are_between_the_parts():
    assert CARD.to_metadata()["n_codes"] == "3"
    assert ModelCard.from_metadata(CARD.to_metadata()) == CARD
    for name in ("composition_in", "composition"):
        assert Tensor(name, "float32", (16, 3)) in CARD.tensors


def test_a_card_of_one_part_has_no_such_tensors():
    card = describe(Sizes())
    assert card.to_metadata()["n_codes"] == "0"
    assert not [tensor for tensor in card.tensors if "composition" in tensor.name]


@pytest.mark.parametrize("version", OLDER)
def test_older_versions_have_one_part(version):
    golden = CARD.golden if version in "34" else replace(CARD.golden, magnitude=())
    old = replace(CARD, contract_version=int(version), n_codes=0, golden=golden)
    assert "n_codes" not in old.to_metadata()
    assert ModelCard.from_metadata(old.to_metadata()) == old
    with pytest.raises(ContractError, match="n_codes: found 3, expected 0 to 0"):
        replace(old, n_codes=3)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"n_codes": -1}, "n_codes: found -1, expected 0 to 8192"),
        ({"n_codes": 8193}, "n_codes: found 8193, expected 0 to 8192"),
        (
            {"n_variation": 0, "golden": replace(CARD.golden, variation=())},
            "n_codes: found 3, expected 0 to 0",
        ),
    ],
)
def test_other_numbers_of_codes_are_refused(changes, words):
    with pytest.raises(ContractError, match=words):
        replace(CARD, **changes)


@pytest.mark.parametrize("n_codes", [1, 8192])
def test_a_composition_may_be_as_large_as_a_score(n_codes):
    assert replace(CARD, n_codes=n_codes).n_codes == n_codes


@pytest.mark.parametrize(
    ("promised", "drawn", "words"),
    [
        (3, 0, r"tensor 'composition_in': found nothing, expected float32 \(16, 3\)"),
        (3, 2, r"tensor 'composition_in': found float32 \(16, 2\), expected float32 \(16, 3\)"),
        (0, 3, "graph: found the extra tensor composition, composition_in, expected none"),
    ],
)
def test_a_graph_with_other_parts_than_its_card_is_refused(build_model, promised, drawn, words):
    with pytest.raises(ContractError, match=words):
        Network.open(build_model(n_codes=promised, graph={"n_codes": drawn}))


def test_a_graph_without_the_promised_composition_is_refused():
    with pytest.raises(ContractError, match="'composition': found nothing"):
        check_tensors(CARD, CARD.tensors[:-1])


def test_a_golden_vector_that_does_not_fit_is_refused(build_model):
    with pytest.raises(GoldenMismatch, match=r"difference of 0\.01 nepers"):
        Network.open(build_model(n_codes=N_CODES, golden_offset=0.01))


def test_it_passes_the_validation_and_is_described(build_model):
    path = build_model(n_codes=N_CODES)
    verdict = validate(path)
    assert verdict.accepted, verdict.line
    assert describe_file(path)["n_codes"] == N_CODES


# -- what it composes -------------------------------------------------------------------------


def test_its_scores_are_those_of_one_part(two_parts, network):
    for variation in VARIATIONS:
        for state in STATES:
            expected = network.compose(state, variation)
            assert np.array_equal(two_parts.compose(state, variation), expected)


def test_a_flip_composes_nothing_anew(two_parts, calls):
    for state in STATES:
        two_parts.compose(state, VARIATIONS[0])
    assert calls == ["composition", *8 * ["score"]]


def test_what_all_states_share_can_be_composed_before(two_parts, calls):
    two_parts.prepare(VARIATIONS[0])
    two_parts.compose(STATES[0], VARIATIONS[0])
    assert calls == ["composition", "score"]


def test_in_one_part_there_is_nothing_to_prepare(network, monkeypatch):
    monkeypatch.setattr(network, "_run", None)
    network.prepare(VARIATIONS[0])


def test_what_is_kept_gives_the_same_bits(two_parts, build_model):
    for _ in range(2):
        for state in STATES[::3]:
            fresh = Network.open(build_model(n_codes=N_CODES)).compose(state, VARIATIONS[1])
            assert np.array_equal(two_parts.compose(state, VARIATIONS[1]), fresh)


def test_a_score_that_a_caller_changes_changes_no_other(two_parts):
    expected = two_parts.compose(STATES[5], VARIATIONS[0]).copy()
    two_parts.compose(STATES[5], VARIATIONS[0]).fill(7)
    assert np.array_equal(two_parts.compose(STATES[5], VARIATIONS[0]), expected)


def test_a_variation_that_a_caller_changes_in_place_is_another_one(two_parts, network):
    variation = VARIATIONS[0].copy()
    two_parts.compose(STATES[5], variation)
    variation += 1
    expected = network.compose(STATES[5], variation)
    assert np.array_equal(two_parts.compose(STATES[5], variation), expected)


def test_the_variations_used_last_are_kept_and_no_more(two_parts, calls):
    for variation in VARIATIONS[:MOST_COMPOSITIONS]:
        two_parts.compose(STATES[1], variation)
    # Used again, so the second one is the oldest when one more comes.
    two_parts.compose(STATES[2], VARIATIONS[0])
    two_parts.compose(STATES[2], VARIATIONS[MOST_COMPOSITIONS])
    assert len(two_parts._compositions) == MOST_COMPOSITIONS
    calls.clear()
    two_parts.compose(STATES[3], VARIATIONS[0])
    assert calls == ["score"]
    two_parts.compose(STATES[3], VARIATIONS[1])
    assert calls == ["score", "composition", "score"]


def test_several_threads_may_compose_at_once(two_parts, network):
    rng = np.random.default_rng(1)
    inputs = [(STATES[s], VARIATIONS[v]) for s, v in rng.integers(0, 8, (60, 2))]
    expected = [network.compose(*each) for each in inputs]
    results = [[] for _ in range(4)]

    def compose_all(scores):
        scores.extend(two_parts.compose(*each) for each in inputs)

    threads = [threading.Thread(target=compose_all, args=(scores,)) for scores in results]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for scores in results:
        assert all(map(np.array_equal, scores, expected))
    assert len(two_parts._compositions) <= MOST_COMPOSITIONS


def test_another_variation_does_not_wait_for_one_that_is_being_composed(two_parts, monkeypatch):
    run = two_parts._run
    two_parts.compose(STATES[0], VARIATIONS[1])
    is_composing, may_end = threading.Event(), threading.Event()

    def held(outputs, **feeds):
        if outputs == ["composition"]:
            is_composing.set()
            assert may_end.wait(30)
        return run(outputs, **feeds)

    monkeypatch.setattr(two_parts, "_run", held)
    thread = threading.Thread(target=two_parts.compose, args=(STATES[0], VARIATIONS[0]))
    thread.start()
    try:
        assert is_composing.wait(30)
        assert two_parts.compose(STATES[1], VARIATIONS[1]).any()
        assert thread.is_alive()
    finally:
        may_end.set()
        thread.join()


def test_a_composition_that_fails_is_not_kept(two_parts, monkeypatch):
    def failing(outputs, **_):
        raise ModelFailed(f"{outputs[0]} cannot be computed")

    with monkeypatch.context() as patch:
        patch.setattr(two_parts, "_run", failing)
        with pytest.raises(ModelFailed, match="composition cannot"):
            two_parts.compose(STATES[0], VARIATIONS[3])
    assert two_parts.compose(STATES[0], VARIATIONS[3]).any()


# -- NaN --------------------------------------------------------------------------------------


def test_numbers_that_are_none_leave_a_part_out(two_parts):
    composition = two_parts._run(["composition"], variation=VARIATIONS[0])[0]
    assert composition.shape == (16, N_CODES) and composition.any()
    assert not two_parts._run(["composition"], variation=NAN[:2])[0].any()
    one = np.array([0.5, np.nan], np.float32)
    assert not two_parts._run(["composition"], variation=one)[0].any()
    assert not two_parts._run(["score"], switches=NAN, composition_in=composition)[0].any()
    assert not two_parts.compose(NAN, VARIATIONS[0]).any()


def test_while_frames_are_drawn_neither_part_is_computed(two_parts, monkeypatch):
    """All outputs at once: those that were not asked for are what a drawn block pays for."""
    score = two_parts.compose(STATES[7], VARIATIONS[0])
    names = ["score", "composition", "log_magnitude"]
    position = np.zeros(1, np.float32)
    others = two_parts._run(names, score_in=score, position=position)
    assert not others[0].any() and not others[1].any() and others[2].any()


# -- playing ----------------------------------------------------------------------------------


def played(network):
    with Voice(network, Performance(seed=1)) as voice:
        first = voice.take((True, False, True), 11025)
        return first.tobytes() + voice.take((True, True, True), 11025).tobytes()


@pytest.mark.parametrize("version", ["4", "5"])
def test_it_plays_what_one_part_plays_in_any_version(two_parts, build_model, version):
    sound = played(two_parts)
    one_part = Network.open(build_model(metadata={"contract_version": version}))
    assert (one_part.card.contract_version, one_part.card.n_codes) == (int(version), 0)
    assert played(one_part) == sound


def test_a_flip_while_it_plays_composes_nothing_anew(two_parts, calls):
    with Voice(two_parts, Performance(seed=1)) as voice:
        voice.take((True, False, True), 4410)
        n_before = calls.count("composition")
        voice.take((False, False, True), 4410)
        voice.take((False, True, True), 4410)
    assert n_before == calls.count("composition") > 0
    assert calls.count("score") > calls.count("composition")


def test_the_first_block_finds_what_its_states_share(two_parts, calls):
    with Voice(two_parts, Performance(seed=1, start_beat=5.0)) as voice:
        assert calls.count("composition") == 1
        voice.block((True, False, True))
        assert calls.count("composition") == 1
