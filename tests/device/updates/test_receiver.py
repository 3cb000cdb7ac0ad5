"""The device's side of a push: valid models are installed, invalid transfers change nothing."""

import errno
import hashlib
import json
import os
import subprocess
import sys
from contextlib import contextmanager
from dataclasses import replace

import pytest

from device.errors import (
    GoldenMismatch,
    InvalidAudio,
    ModelRefused,
    ModelTooLarge,
    OutputError,
    StoreFull,
)
from device.model.contract import CONTRACT_VERSION, MAX_MODEL_BYTES
from device.store.store import ModelStore
from device.updates.receiver import Sender, TransferError, receive
from device.updates.validation import CHECKS, ValidationResult
from tests.support.forked_processes import header, validate_in_fork

GOOD = ValidationResult(accepted=True, seconds=0.0)
BAD = ValidationResult(False, 0.0, "sound", "it hums", InvalidAudio.exit_code)


@pytest.fixture
def store(tmp_path):
    return ModelStore(tmp_path / "models")


@pytest.fixture
def deliver(store):
    """Sends bytes to a receiver whose validation is `verdict`; returns its result and events."""

    def deliver(sent, verdict=GOOD, **timeouts):
        events = []
        with piped(sent) as descriptor:
            sender = Sender(descriptor, **timeouts)
            result = receive(store, sender, events.append, validate=lambda path, report: verdict)
        assert events[0]["event"] == "ready"
        assert events[-1]["event"] == "verdict"
        assert events[-1]["accepted"] is result.accepted
        return result, [event["event"] for event in events[1:-1]]

    return deliver


@contextmanager
def piped(sent, stays_open=False):
    """The reading end of a pipe with these bytes in it."""
    reader, writer = os.pipe()
    os.write(writer, sent)
    if not stays_open:
        os.close(writer)
    try:
        yield reader
    finally:
        os.close(reader)
        if stays_open:
            os.close(writer)


def names(store):
    return {path.name for path in store.directory.iterdir()} - {".lock", ".examining"}


def test_a_good_model_is_received_validated_and_activated(store, tiny_model):
    content, events = tiny_model.read_bytes(), []
    with piped(header(content) + content) as descriptor:
        verdict = receive(store, Sender(descriptor), events.append, validate=validate_in_fork)
    digest = hashlib.sha256(content).hexdigest()
    assert verdict.accepted, verdict.line
    assert store.active() == store.path(digest)
    assert store.is_accepted(digest)
    assert store.active().read_bytes() == content
    names_of_events = [event.get("check", event["event"]) for event in events[:-1]]
    assert names_of_events == ["ready", "send", "received", *CHECKS]
    assert events[0]["max_bytes"] == MAX_MODEL_BYTES
    assert events[0]["free_bytes"] > 0
    assert events[0]["active"] is None
    assert events[-1]["sha256"] == digest
    assert events[-1]["figures"]["title"] == "Tiny test model"
    assert json.loads(json.dumps(events)) == events
    assert names(store) == {f"{digest}.onnx", "active", "verdicts.json"}


@pytest.mark.parametrize(
    "changes",
    [
        {"metadata": {"contract_version": "3"}},
        {"metadata": {"contract_version": "4"}},
        {"n_codes": 2},
    ],
    ids=["version 3", "version 4", "two parts"],
)
def test_older_files_and_those_of_two_parts_are_received_too(store, build_model, changes):
    content, events = build_model(**changes).read_bytes(), []
    with piped(header(content) + content) as descriptor:
        verdict = receive(store, Sender(descriptor), events.append, validate=validate_in_fork)
    assert verdict.accepted, verdict.line
    assert events[0]["contract_version"] == CONTRACT_VERSION
    assert store.active().read_bytes() == content


def test_a_refused_model_is_recorded_and_not_requested_again(store, deliver):
    verdict, events = deliver(header(b"bad") + b"bad", BAD)
    assert (verdict.exit_code, events) == (InvalidAudio.exit_code, ["send", "received"])
    assert names(store) == {"verdicts.json"}
    verdict, events = deliver(header(b"bad"))
    assert (verdict.check, verdict.exit_code, events) == ("history", ModelRefused.exit_code, [])
    assert verdict.reason == "refused at sound: it hums"
    assert store.active() is None


def test_a_result_that_is_not_final_is_not_recorded(store, deliver):
    verdict, _ = deliver(header(b"bad") + b"bad", replace(BAD, is_final=False))
    assert not verdict.accepted
    assert names(store) == set()
    assert deliver(header(b"bad") + b"bad")[0].accepted


def test_a_sender_may_request_another_validation(store, deliver):
    deliver(header(b"bad") + b"bad", BAD)
    verdict, _ = deliver(header(b"bad", again=True) + b"bad")
    assert verdict.accepted
    assert store.active().read_bytes() == b"bad"
    assert store.refusal(store.active().stem) is None


def test_a_stored_model_is_activated_without_being_sent(store, deliver):
    for content in (b"one", b"two"):
        deliver(header(content) + content)
    verdict, events = deliver(header(b"one"))
    assert (verdict.accepted, events) == (True, [])
    assert store.active().read_bytes() == b"one"
    assert store.previous().read_bytes() == b"two"
    assert deliver(header(b"one"))[0].accepted
    assert store.previous().read_bytes() == b"two"


def test_a_damaged_stored_model_is_replaced_by_pushing_it_again(store, deliver):
    for content in (b"one", b"two"):
        deliver(header(content) + content)
    one = store.path(hashlib.sha256(b"one").hexdigest())
    one.write_bytes(b"onf")
    verdict, events = deliver(header(b"one") + b"one")
    assert (verdict.accepted, events) == (True, ["send", "received"])
    assert store.active() == one
    assert one.read_bytes() == b"one"
    # The active one as well.
    one.write_bytes(b"")
    assert deliver(header(b"one") + b"one")[1] == ["send", "received"]
    assert store.active().read_bytes() == b"one"


def test_a_stored_model_that_cannot_be_read_is_sent_again(store, deliver, monkeypatch):
    def fails(path, **_):
        raise OSError(errno.EIO, os.strerror(errno.EIO), str(path))

    deliver(header(b"one") + b"one")
    with monkeypatch.context() as patch:
        patch.setattr("device.store.reader.open_regular", fails)
        _, events = deliver(header(b"one") + b"one")
    assert events == ["send", "received"]
    assert store.refusal(hashlib.sha256(b"one").hexdigest()) is None


def test_a_refusal_of_bytes_that_the_disk_has_changed_is_not_recorded(store, deliver):
    """A file that is damaged, or may not be read, while it is validated."""

    def damage(path, report):
        path.write_bytes(b"bae")
        return BAD

    with piped(header(b"bad") + b"bad") as descriptor:
        verdict = receive(store, Sender(descriptor), lambda event: None, validate=damage)
    assert not verdict.accepted
    assert names(store) == set()


def test_progress_is_reported_every_mebibyte(tmp_path, store):
    content, events = os.urandom(5 * 2**19), []
    path = tmp_path / "sent"
    path.write_bytes(header(content) + content)
    with path.open("rb") as file:
        receive(store, Sender(file.fileno()), events.append, validate=lambda path, report: GOOD)
    progress = [event["n_bytes"] for event in events if event["event"] == "received"]
    assert [n // 2**20 for n in progress] == [1, 2, 2]
    assert progress[-1] == len(content)


HASH = "0" * 64
INVALID_HEADERS = {
    "nothing": b"",
    "no end": b"{" * 2000,
    "no JSON": b"hello\n",
    "deep JSON": b"[" * 500 + b"\n",
    "bytes": b"\xff\xfe\n",
    "a list": b"[]\n",
    "a number": b"1\n",
    "no keys": b"{}\n",
    "a name": json.dumps({"sha256": HASH, "n_bytes": 1, "again": False, "name": "x"}).encode()
    + b"\n",
    "a path for a hash": header(b"", sha256="../../etc/passwd"),
    "a number for a hash": header(b"", sha256=7),
    "a capital hash": header(b"", sha256="A" * 64),
    "two lines of hash": header(b"", sha256=HASH + "\n"),
    "negative bytes": header(b"", n_bytes=-1),
    "a half byte": header(b"", n_bytes=0.5),
    "boolean bytes": header(b"", n_bytes=True),
    "text for bytes": header(b"", n_bytes="1"),
    "text for again": header(b"", again="yes"),
}


@pytest.mark.parametrize("sent", INVALID_HEADERS.values(), ids=INVALID_HEADERS)
def test_an_invalid_header_is_refused_at_once(store, deliver, sent):
    verdict, events = deliver(sent)
    assert (verdict.check, verdict.exit_code) == ("delivery", TransferError.exit_code)
    assert events == []
    assert verdict.line.isprintable()
    assert not store.directory.exists() or names(store) == set()


@pytest.mark.parametrize(
    ("sent", "words"),
    [
        (header(b"whole") + b"who", "found an end"),
        (header(b"whole") + b"other", "found the hash"),
        (header(b"whole", n_bytes=3) + b"whole", "found the hash"),
        (header(b"whole"), "found an end"),
    ],
)
def test_a_transfer_other_than_announced_leaves_no_file(store, deliver, sent, words):
    verdict, _ = deliver(sent)
    assert verdict.exit_code == TransferError.exit_code
    assert words in verdict.reason
    assert names(store) == set()
    # It was not validated, so it is not refused later.
    assert deliver(header(b"whole") + b"whole")[0].accepted


def test_bytes_beyond_the_announced_length_are_not_read(store, deliver):
    assert deliver(header(b"whole") + b"whole" + b"and the rest")[0].accepted
    assert store.active().read_bytes() == b"whole"


def test_a_model_that_is_too_large_is_refused_before_it_is_sent(store, deliver):
    verdict, events = deliver(header(b"", n_bytes=MAX_MODEL_BYTES + 1))
    assert (verdict.exit_code, events) == (ModelTooLarge.exit_code, [])


@pytest.mark.parametrize("sent", [b"", b'{"sha', header(b"whole"), header(b"whole") + b"who"])
def test_a_silent_sender_times_out(store, sent):
    with piped(sent, stays_open=True) as descriptor:
        sender = Sender(descriptor, idle_seconds=0.05)
        verdict = receive(store, sender, lambda event: None, validate=lambda *_: GOOD)
    assert "nothing more in time" in verdict.reason
    assert store.active() is None


def test_a_sender_that_is_too_slow_times_out(store):
    with subprocess.Popen(
        ["sh", "-c", "while sleep 0.02; do printf '{'; done"], stdout=subprocess.PIPE
    ) as trickle:
        sender = Sender(trickle.stdout.fileno(), total_seconds=0.5)
        verdict = receive(store, sender, lambda event: None)
        trickle.kill()
    assert "nothing more in time" in verdict.reason


def test_a_store_without_room_is_reported_before_the_model_is_sent(tmp_path):
    store = ModelStore(tmp_path, reserve_bytes=1 << 60)
    with piped(header(b"whole") + b"whole") as descriptor:
        verdict = receive(store, Sender(descriptor), lambda event: None)
    assert verdict.exit_code == StoreFull.exit_code


def test_a_store_that_cannot_be_written_is_reported(tmp_path):
    (tmp_path / "file").touch()
    with piped(header(b"whole") + b"whole") as descriptor:
        verdict = receive(ModelStore(tmp_path / "file"), Sender(descriptor), lambda event: None)
    assert verdict.exit_code == OutputError.exit_code


COMMAND = [sys.executable, "-c", "import sys; from device.cli import main; sys.exit(main())"]


def run(store, sent, **environment):
    done = subprocess.run(
        [*COMMAND, "receive", "--store", str(store.directory)],
        input=sent,
        capture_output=True,
        check=False,
        env={**os.environ, **environment},
    )
    return done, [json.loads(line) for line in done.stdout.splitlines()]


def test_the_command_validates_the_model_and_its_exit_status_is_that_of_the_result(
    store, tiny_model, build_model
):
    content = tiny_model.read_bytes()
    done, events = run(store, header(content) + content, SSH_ORIGINAL_COMMAND="rm -rf /")
    assert (done.returncode, done.stderr) == (0, b"")
    assert events[-1]["accepted"]
    assert store.active().read_bytes() == content
    other = build_model(golden_offset=0.5).read_bytes()
    done, events = run(store, header(other) + other)
    assert (done.returncode, done.stderr) == (GoldenMismatch.exit_code, b"")
    assert events[-1]["check"] == "golden vector"
    assert store.active().read_bytes() == content
    done, _ = run(store, header(other))
    assert done.returncode == ModelRefused.exit_code


def test_a_model_is_installed_although_the_sender_closes_after_the_last_byte(store, tiny_model):
    content = tiny_model.read_bytes()
    with subprocess.Popen(
        [*COMMAND, "receive", "--store", str(store.directory)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    ) as receiver:
        receiver.stdout.close()
        receiver.stdin.write(header(content) + content)
    assert receiver.returncode == 0
    assert store.active().read_bytes() == content


def test_two_pushes_at_once_end_with_one_active_and_one_previous(store, tiny_model, build_model):
    contents = [tiny_model.read_bytes(), build_model(metadata={"title": "Other"}).read_bytes()]
    receivers = [
        subprocess.Popen(
            [*COMMAND, "receive", "--store", str(store.directory)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
        )
        for _ in contents
    ]
    for receiver, content in zip(receivers, contents, strict=True):
        receiver.stdin.write(header(content) + content)
        receiver.stdin.flush()
    results = [receiver.communicate()[0].splitlines()[-1] for receiver in receivers]
    assert [json.loads(line)["accepted"] for line in results] == [True, True]
    assert {p.read_bytes() for p in (store.active(), store.previous())} == set(contents)
