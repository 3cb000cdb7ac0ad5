"""The phone panel as a user has it, and as someone who should not have it tries to."""

import json
import socket
import subprocess
import sys
import wave
from contextlib import suppress
from pathlib import Path
from shutil import which

import numpy as np
import pytest

from tests.support.panel_process import SWITCHBOARD, Panel, Player
from tests.support.waiting import wait_until


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("panel")


@pytest.fixture(scope="module")
def player(folder):
    player = Player(folder)
    yield player
    player.close()


@pytest.fixture(scope="module")
def panel(folder, player):
    panel = Panel(folder)
    yield panel
    panel.close()


def events(panel):
    """Yields the messages of the stream of events."""
    connection = panel.connect()
    with connection, connection.makefile("rb") as file:
        connection.sendall(
            f"GET /api/events HTTP/1.1\r\nHost: 127.0.0.1:{panel.port}\r\n"
            f"Authorization: Bearer {panel.token}\r\n\r\n".encode()
        )
        for line in file:
            if line.startswith(b"data: "):
                yield json.loads(line[6:])


def event(panel, name):
    stream = events(panel)
    try:
        return next(message[name] for message in stream if name in message)
    finally:
        stream.close()


def test_it_prints_a_link_with_a_token_of_128_bits_and_a_qr_code(panel):
    assert f"http://127.0.0.1:{panel.port}/#{panel.token}" in panel.printed
    assert len(panel.token) == 22
    assert len([line for line in panel.printed.splitlines() if line.startswith("██")]) >= 15
    assert panel.token not in Path(f"/proc/{panel.process.pid}/cmdline").read_text()


def test_the_page_needs_no_token_and_has_a_strict_policy(panel):
    status, headers, content = panel.request("/", token="")
    assert (status, content[:15]) == (200, b"<!doctype html>")
    policy = headers["Content-Security-Policy"]
    assert policy.startswith("default-src 'none'; script-src 'self'; style-src 'self'")
    assert "unsafe" not in policy and "http" not in policy
    assert headers["Access-Control-Allow-Origin"] is None
    assert headers["Set-Cookie"] is None


def test_a_phone_sees_the_state_and_flips_sets_recalls_and_keeps(panel, player):
    assert event(panel, "card")["labels"] == player.status()["labels"]
    assert panel.command(do="set", switch=2, on=False) == 204
    wait_until(lambda: player.status()["held_by"].get("2") == "phone")
    assert panel.command(do="volume", gain_db=-6) == 204
    assert panel.command(do="tempo", bpm=90) == 204
    wait_until(lambda: player.status()["gain_db"] == -6 and player.status()["tempo_bpm"] == 90)
    wait_until(lambda: event(panel, "state")["switches"][1] == "0")
    assert event(panel, "scenes") == ["verse"]
    assert panel.command(do="scene", name="verse") == 204
    wait_until(lambda: player.status()["switches"] == "01100101")
    assert panel.command(do="keep") == 204
    wait_until(lambda: json.loads(panel.request("/api/kept")[2]))
    (piece,) = json.loads(panel.request("/api/kept")[2])
    status, headers, sound = panel.request(f"/api/kept/{piece['name']}")
    assert (status, headers["Content-Type"], sound[:4]) == (200, "audio/wav", b"RIFF")
    assert len(sound) == int(headers["Content-Length"])


def test_the_evening_is_in_the_hands_of_a_phone(panel, player):
    def evening():
        return player.status()["evening"]

    assert panel.command(do="quiet", on=True) == 204
    wait_until(lambda: evening()["is_quiet"])
    assert panel.command(do="quiet", on=False) == 204
    assert panel.command(do="wander") == 204
    wait_until(lambda: evening()["is_wandering"] and not evening()["is_quiet"])
    assert panel.command(do="sleep", minutes=0.001) == 204
    wait_until(lambda: evening()["is_asleep"])
    # The status file and the socket have threads of their own: either may be first.
    wait_until(lambda: "asleep" in event(panel, "state")["evening_words"])
    assert panel.command(do="wake") == 204
    wait_until(lambda: not evening()["is_asleep"])


def test_sleep_is_a_command_and_what_is_none_is_refused(panel):
    assert panel.command(do="sleep", minutes=0) == 204
    assert panel.command(do="flip", switch=99) == 400
    assert panel.command(do="model", path="/tmp/x.onnx") == 400


HOSTILE = {
    "another host": (421, {"Host": "evil.example"}),
    "another address": (421, {"Host": "192.0.2.1:80"}),
    "another origin": (403, {"Origin": "http://evil.example"}),
    "a request from another site": (403, {"Sec-Fetch-Site": "cross-site"}),
    "no token": (401, {"token": ""}),
    "a wrong token": (401, {"token": "A" * 22}),
    "a token in a cookie": (401, {"token": "", "Cookie": "token=x"}),
    "a form": (415, {"Content_Type": "application/x-www-form-urlencoded"}),
    "a large body": (413, {"body": "x" * 2000}),
    "a large head": (431, {"X-Long": "y" * 20_000}),
    "an upload": (404, {"path": "/api/models", "body": "x"}),
    "another method": (405, {"path": "/", "method": "PUT"}),
    "a path upwards": (404, {"path": "/../../etc/passwd", "method": "GET"}),
    "kept music elsewhere": (404, {"path": "/api/kept/..%2f..%2fetc", "method": "GET"}),
    "a part of a kept name": (404, {"path": "/api/kept/2", "method": "GET"}),
}


@pytest.mark.parametrize("what", HOSTILE)
def test_it_is_refused_and_nothing_moves(panel, player, what):
    status, options = HOSTILE[what]
    flips = player.status()["n_flips"]
    given = {"method": "POST", "path": "/api/command", "Content_Type": "application/json"}
    given |= {"body": '{"do":"flip","switch":1}'} | options
    if given["method"] == "GET":
        given["body"] = None
    assert panel.request(given.pop("path"), **given)[0] == status
    assert player.status()["n_flips"] == flips


@pytest.mark.parametrize(
    "text",
    [
        b"GET / HTTP/1.1\r\n\r\n",
        b"GET / HTTP/1.0\r\n\r\n",
        b"\x16\x03\x01\x02\x00\x01\x00",
        b"\x00" * 100 + b"\r\n\r\n",
        b"GET / HTTP/9\r\nHost: localhost\r\n\r\n",
        b"POST / HTTP/1.1\r\nHost: localhost\r\nContent-Length: -1\r\n\r\n",
        b"POST / HTTP/1.1\r\nHost: localhost\r\nExpect: 100-continue\r\nContent-Length: 5\r\n\r\n",
        b"POST / HTTP/1.1\r\nHost: localhost\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n",
    ],
)
def test_what_is_no_request_ends_its_connection(panel, text):
    with panel.connect() as connection:
        connection.sendall(text)
        connection.shutdown(socket.SHUT_WR)
        answer = connection.makefile("rb").read()
    assert answer == b"" or answer.split()[1][:1] == b"4"


def test_two_hundred_connections_and_slow_senders_do_not_keep_others_out(panel, player):
    stream = events(panel)
    next(stream)
    before = player.status()
    # All from one address: it gets a few, and is closed beyond that.
    connections = [panel.connect() for _ in range(200)]
    for connection in connections:
        with suppress(OSError):
            connection.sendall(b"GET / HT")
    # Who was there before them is still served, and so is the instrument.
    later = [next(stream) for _ in range(20)]
    assert any("state" in message for message in later)
    stream.close()
    for connection in connections:
        connection.close()
    wait_until(lambda: player.status()["seconds_played"] > before["seconds_played"] + 1)
    wait_until(lambda: panel_answers(panel))
    assert player.status()["helpers"] == {}


def test_browsers_that_are_gone_are_forgotten(panel):
    for _ in range(60):
        # One that comes before the panel has noticed that another is gone may be sent away.
        wait_until(lambda: looked(panel))
    files = Path(f"/proc/{panel.process.pid}/fd")
    wait_until(lambda: len(list(files.iterdir())) < 20)


def looked(panel):
    stream = events(panel)
    try:
        return next(stream, None)
    except OSError:
        return None
    finally:
        stream.close()


def panel_answers(panel):
    try:
        return panel.request("/", token="")[0] == 200
    except OSError:
        return False


def test_too_many_commands_are_refused(panel, player):
    statuses = {panel.command(do="set", switch=1, on=False) for _ in range(300)}
    assert statuses <= {204, 429}
    assert player.status()["helpers"] == {}


def test_it_waits_for_an_instrument_that_is_not_there(tmp_path):
    panel = Panel(tmp_path)
    try:
        assert event(panel, "link") is False
        # More than once: it answers others while it looks for the instrument.
        assert [panel.command(do="keep") for _ in range(3)] == [503] * 3
        assert panel.request("/api/kept")[0] == 503
        player = Player(tmp_path)
        try:
            stream = events(panel)
            assert next(m for m in stream if m.get("link"))
        finally:
            player.process.kill()
            player.process.wait()
        assert next(m for m in stream if m.get("link") is False)
        stream.close()
        player.close()
        # Ended while somebody looks, it ends, and has nothing to say.
        looking = events(panel)
        next(looking)
    finally:
        panel.close()
    assert panel.process.returncode == 0
    assert "Error" not in panel.printed


def test_a_port_that_is_taken_is_an_error_of_its_own(panel, tmp_path):
    done = subprocess.run(
        [SWITCHBOARD, "panel", "--listen", "127.0.0.1", "--port", str(panel.port),
         "--token-file", str(tmp_path / "token")],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 54
    assert "choose another --port or --listen" in done.stderr


@pytest.fixture
def browser():
    """A headless Chromium, the system's; its own download is not needed."""
    playwright = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
    program = which("chromium") or which("google-chrome")
    if program is None:
        pytest.skip("no chromium: apt install chromium")
    with playwright.sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=program, args=["--no-sandbox"])
        yield browser
        browser.close()


def test_a_flip_in_a_browser_is_seen_and_is_heard_in_the_wav(tmp_path, browser):
    player = Player(tmp_path)
    panel = Panel(tmp_path)
    faults = []
    try:
        page = browser.new_context(viewport={"width": 390, "height": 844}).new_page()
        page.on("pageerror", lambda error: faults.append(str(error)))
        page.on("console", lambda message: faults.append(message.text))
        page.goto(f"{panel.address}/#{panel.token}")
        switch = page.get_by_role("switch").nth(4)
        wait_until(lambda: page.locator("#connection").inner_text() == "playing")
        before = player.status()["seconds_played"]
        switch.click()
        wait_until(lambda: switch.get_attribute("aria-checked") == "true")
        assert panel.token not in page.url
        assert "phone" in page.locator(".switch .held").nth(4).inner_text()
        wait_until(lambda: player.status()["held_by"] == {"5": "phone"})
        bar = page.locator("#bar")
        begun = bar.inner_text()
        wait_until(lambda: bar.inner_text() != begun)
        flipped_at = player.status()["seconds_played"]
        wait_until(lambda: player.status()["seconds_played"] > flipped_at + 3)
        page.get_by_role("button", name="Keep the last minutes").click()
        page.get_by_role("button", name="Listen").click()
        wait_until(lambda: page.evaluate("document.getElementById('player').duration > 1"))
        # Loaded again, it still knows the token.
        page.reload()
        wait_until(lambda: page.get_by_role("switch").count() == 8)
        player.end()
        wait_until(lambda: "does not answer" in page.locator("#connection").inner_text())
        assert faults == []
    finally:
        panel.close()
        player.close()
    heard = samples(player.wav)
    unflipped = rendered(tmp_path, "11110000", len(heard) / RATE)
    n = min(len(heard), len(unflipped))
    differs = np.flatnonzero(heard[:n] != unflipped[:n])
    # The same to the sample until the flip, and other music from there on.
    assert before <= differs[0] / RATE <= flipped_at + 0.2
    after = slice(differs[0] + RATE, differs[0] + 3 * RATE)
    difference = (heard[after] - unflipped[after]).astype(float)
    assert difference.std() > 0.1 * unflipped[after].astype(float).std()


RATE = 22050


def samples(path):
    with wave.open(str(path)) as file:
        return np.frombuffer(file.readframes(file.getnframes()), "<i2").astype(np.int32)


def rendered(folder, bits, seconds):
    path = folder / "unflipped.wav"
    words = ["render", "--bits", bits, "--seconds", str(seconds), "--out", str(path)]
    subprocess.run([SWITCHBOARD, *words], check=True, capture_output=True)
    return samples(path)


def test_neither_the_verb_nor_its_process_loads_what_computes_sound(panel):
    maps = Path(f"/proc/{panel.process.pid}/maps").read_text()
    assert not [name for name in ("numpy", "onnxruntime", "_ssl", "kernel.native") if name in maps]
    code = "import sys, device.commands.panel as p; print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert not {"numpy", "onnxruntime", "rich"} & set(done.stdout.split())
