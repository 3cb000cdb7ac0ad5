"""`switchboard status`."""

import json
import threading
import time

import pytest

from device.cli import main
from device.commands.status import InstrumentSilent
from device.errors import StatusMissing
from device.ui.status_file import status_of
from device.updates.software.outcome import Outcome
from tests.support.instrument_state import snapshot

pytestmark = pytest.mark.usefixtures("own_folder")


def test_status_prints_the_status_file_as_a_table(tmp_path, capsys):
    path = tmp_path / "status.json"
    refusal = {"digest": "ef" * 32, "reason": "too loud", "at": 1_700_000_000.0}
    status = {
        **status_of(snapshot(bar=3, n_underruns=2, sounding=(False, False)), origin="store"),
        "written_at": time.time(),
        "pid": 1,
        "uptime_seconds": 3700.0,
        "temperature_celsius": 51.4,
        "last_refusal": refusal,
        "helpers": {"leds": {"n_faults": 3, "n_restarts": 2, "latest": "OSError: broken"}},
    }
    path.write_text(json.dumps(status), encoding="utf-8")
    assert main(["status", "--file", str(path)]) == 0
    output = capsys.readouterr().out
    for words in (
        "Rain  (store, abababababab)",
        "10, still 00  (warmth)",
        "bar 4.1 at 76 bpm",
        "after 123 ms, 99 of 100 after 127 ms",
        "2 underruns, 0 late blocks",
        "1 passes, lowered 0 times",
        "51 °C",
        "up 1:01:40",
        "efefefefefef",
        "too loud",
        "leds: 3 faults, started again 2 times; latest: OSError: broken",
        status["share"],
    ):
        assert words in output
    assert main(["status", "--json", "--file", str(path)]) == 0
    assert json.loads(capsys.readouterr().out) == status


def write_status(path, **changes):
    status = {
        **status_of(snapshot(), origin="store"),
        "written_at": time.time(),
        "pid": 1,
        "uptime_seconds": 3.0,
        "temperature_celsius": None,
        "last_refusal": None,
        "helpers": {},
        **changes,
    }
    path.write_text(json.dumps(status), encoding="utf-8")


@pytest.mark.parametrize(
    ("level", "evening", "status"),
    [
        (-20.0, {}, 0),
        (None, {}, InstrumentSilent.exit_code),
        (None, {"is_asleep": True}, 0),
        (None, {"is_quiet": True}, 0),
    ],
)
def test_status_waits_for_sound_unless_it_is_silent_on_purpose(
    tmp_path, capsys, level, evening, status
):
    path = tmp_path / "status.json"
    usual = status_of(snapshot(), origin="store")["evening"]
    write_status(path, level_db=level, evening={**usual, **evening})
    assert main(["status", "--file", str(path), "--wait", "0", "--json"]) == status
    out, err = capsys.readouterr()
    assert bool(out) is (status == 0)
    assert ("silence" in err) is (status != 0)


def test_status_waits_for_an_instrument_that_is_yet_to_come(tmp_path, capsys):
    path = tmp_path / "status.json"
    words = ["status", "--file", str(path), "--json", "--wait"]
    assert main([*words, "0.2"]) == StatusMissing.exit_code
    timer = threading.Timer(0.3, write_status, [path], {"level_db": -20.0})
    timer.start()
    try:
        assert main([*words, "30"]) == 0
    finally:
        timer.join()
    assert json.loads(capsys.readouterr().out)["level_db"] == -20.0


def test_the_last_update_is_part_of_the_table(tmp_path, capsys, monkeypatch):
    outcome = Outcome("back", "1.1-b", "1.0-a", "it did not play within its time", 0.0)
    monkeypatch.setattr("device.commands.status.last_outcome", lambda: outcome)
    write_status(tmp_path / "status.json")
    assert main(["status", "--file", str(tmp_path / "status.json")]) == 0
    assert "went back to 1.0-a from 1.1-b" in " ".join(capsys.readouterr().out.split())
