"""`switchboard status`."""

import json
import time

import pytest

from device.cli import main
from device.ui.status_file import status_of
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
