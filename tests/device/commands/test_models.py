"""`switchboard models`: listing and changing the models of the store."""

import json
import os
from pathlib import Path

import pytest

from device.cli import main
from device.errors import ContractError
from device.model.bundled import BUNDLED_MODEL, BUNDLED_MODELS
from device.model.summary import read_card
from device.store.store import ModelStore
from tests.support import tiny_model as tiny

BUNDLED_TITLE = read_card(BUNDLED_MODEL).title
_, (OTHER_NAME, OTHER_MODEL) = BUNDLED_MODELS.items()
OTHER, OTHER_TITLE = f"bundled:{OTHER_NAME}", read_card(OTHER_MODEL).title


@pytest.fixture
def store(tmp_path):
    return ModelStore(tmp_path / "models")


@pytest.fixture
def run(store, capsys):
    """Runs a verb on the store and returns its output."""

    def run(verb, *args, status=0, of_store=True):
        where = ["--store", str(store.directory)] if of_store else []
        assert main(["models", verb, *map(str, args), *where]) == status
        return capsys.readouterr().out

    return run


@pytest.fixture
def run_json(run):
    return lambda *args, **options: json.loads(run(*args, "--json", **options))


@pytest.fixture
def two(tmp_path, store):
    """The hashes of two models that were accepted and activated one after the other."""
    digests = []
    for name in ("One", "Two"):
        path = tiny.build(tmp_path / f"{name}.onnx", metadata={"title": f"Model {name}"})
        digests.append(store.add(path))
        os.utime(store.path(digests[-1]), (len(digests), len(digests)))
        store.accept(digests[-1])
        store.activate(digests[-1])
    return digests


def test_an_empty_store_lists_the_bundled_models_alone(run, run_json):
    assert BUNDLED_TITLE in run("list")
    rows = run_json("list")
    assert [(row["digest"], row["is_active"]) for row in rows] == [
        ("bundled", True),
        (OTHER, False),
    ]
    assert rows[0]["title"] == BUNDLED_TITLE


def test_another_bundled_model_is_validated_copied_and_activated(run, run_json, store):
    lines = run("activate", OTHER).splitlines()
    assert lines[0].startswith("accepted in ")
    rows = run_json("list")
    assert [row["is_active"] for row in rows] == [True, False]
    assert rows[0]["title"] == OTHER_TITLE
    assert store.active().read_bytes() == Path(rows[0]["path"]).read_bytes()
    # It is in the list once.
    assert rows[1]["digest"] == "bundled"
    run("activate", "bundled:choir", status=10)


def test_a_file_is_validated_added_and_activated(run, store, tiny_model):
    lines = run("activate", tiny_model).splitlines()
    assert lines[0].startswith("accepted in ")
    assert "'Tiny test model', 8 states at -27 to -21 dB" in lines[0]
    digest = store.active().stem
    assert lines[1] == f"active: {digest[:12]} 'Tiny test model'"
    assert store.is_accepted(digest)


def test_the_list_marks_active_previous_and_the_last_resort(run, run_json, two):
    lines = run("list").splitlines()
    assert [line[:16].rstrip() for line in lines] == [
        f"* {two[1][:12]}",
        f"  {two[0][:12]}",
        "  bundled",
        f"  {OTHER}",
    ]
    states = [line.split("  ")[-1].strip() for line in lines]
    assert states == ["active", "previous", "last resort", OTHER_TITLE]
    assert "Model Two" in lines[0]
    rows = run_json("list")
    assert [(r["digest"], r["is_active"], r["is_previous"]) for r in rows] == [
        (two[1], True, False),
        (two[0], False, True),
        ("bundled", False, False),
        (OTHER, False, False),
    ]


def test_an_accepted_model_is_validated_again_only_on_request(run, two):
    assert run("activate", two[0][:8]).splitlines() == [f"active: {two[0][:12]} 'Model One'"]
    assert "accepted in " in run("activate", two[1][:8], "--again")


def test_rolling_back_twice_returns(run, two):
    assert two[0][:12] in run("rollback")
    assert two[1][:12] in run("rollback")


def test_rolling_back_the_first_model_leads_to_the_bundled_one(run, store, tiny_model):
    run("activate", tiny_model)
    digest = store.active().stem
    assert run("rollback") == f"active: bundled '{BUNDLED_TITLE}'\n"
    assert digest[:12] in run("rollback")


def test_the_bundled_model_can_be_chosen(run, run_json, two):
    assert run("activate", "bundled") == f"active: bundled '{BUNDLED_TITLE}'\n"
    assert [row["is_active"] for row in run_json("list")] == [False, False, True, False]


def test_a_refused_model_is_listed_with_the_reason_and_may_be_validated_again(run, store, two):
    store.roll_back("it hums")
    assert "refused: it hums" in run("list")
    run("activate", two[1], status=32)
    run("activate", two[1], "--again")
    assert store.active() == store.path(two[1])
    assert "refused" not in run("list")


def test_a_refused_file_does_not_change_the_active_model(run, store, two, build_model):
    run("activate", build_model(golden_offset=1.0), status=14)
    assert store.active() == store.path(two[1])
    run("activate", build_model(golden_offset=1.0), status=32)


def test_a_model_that_does_not_play_can_be_removed(run, store, two, build_model):
    run("activate", build_model())
    assert run("remove", two[0][:6]) == f"removed: {two[0][:12]}\n"
    assert not store.path(two[0]).exists()
    run("remove", "previous", status=30)


@pytest.mark.parametrize("name", ["active", "previous", "hash", "file"])
def test_show_prints_the_card_of_a_model_or_a_file(run, run_json, two, tmp_path, name):
    digest = two[0] if name == "previous" else two[1]
    argument = {"hash": digest[:9], "file": tmp_path / "Two.onnx"}.get(name, name)
    card = run_json("show", argument)
    assert card["sha256"] == digest
    assert card["title"] == ("Model One" if name == "previous" else "Model Two")
    assert (card["n_switches"], card["tempo_bpm"]) == (3, 120.0)
    assert card["provenance"] == {"corpus": "none", "licences": []}
    assert "golden" not in card
    lines = [line.partition("  ") for line in run("show", argument).splitlines()]
    printed = {name: text.strip() for name, _, text in lines}
    assert printed["title"] == card["title"]
    assert printed["provenance.corpus"] == "none"
    assert printed["switch_labels"] == "partials 0, partials 1, partials 2"


def test_show_prints_the_bundled_model_with_its_provenance(run, run_json):
    assert run_json("show", "bundled")["size_bytes"] == BUNDLED_MODEL.stat().st_size
    assert "provenance.corpus.hours" in run("show", "bundled")


def test_control_characters_of_a_file_are_not_printed(run, build_model, store, capsys):
    evil = "\x1b[2J\r\n\t" * 20
    deep = {"a": {"b": {"c": {"d": {"e": [evil]}}}}, evil: evil}
    for texts in ({"title": evil}, {"provenance": json.dumps(deep)}, {evil: "1"}):
        path = build_model(metadata=texts)
        for command in (["show", path], ["activate", path, "--store", store.directory]):
            status = main(["models", *map(str, command)])
            errors = capsys.readouterr().err
            assert status == ContractError.exit_code
            assert all(line.isprintable() for line in errors.splitlines())
            assert len(errors) < 500
        # As an earlier version may have stored it.
        store.add(path)
        assert all(line.isprintable() for line in run("list").splitlines())


def test_check_validates_a_file_and_does_not_change_the_store(run, run_json, store, tiny_model):
    assert run("check", tiny_model, of_store=False).startswith("accepted in ")
    result = run_json("check", tiny_model, of_store=False)
    assert result["accepted"] is True
    assert result["figures"]["n_states"] == 8
    assert not store.directory.exists()


def test_a_damaged_model_in_the_store_is_listed(run, store, two):
    store.path(two[0]).write_bytes(b"damaged")
    assert "unreadable" in run("list")
