"""What the phone panel costs the instrument, and whether 1,000 requests a second disturb it.

    python tests/benchmarks/panel_load.py --seconds 60

Prints JSON. As root, the audio loop has the real-time priority of the service, and the others the
priority --nice. First with nobody connected, then with one browser's stream of events, then with
that and the load: the page, and the list of kept music with the token and with a wrong one.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[2]))

from tests.support.panel_process import SWITCHBOARD, Panel
from tests.support.waiting import wait_until

N_CONNECTIONS = 8


class Playing:
    """An instrument without sound, with its figures from the status and the kernel."""

    def __init__(self, folder):
        self.status_file = folder / "status.json"
        script = folder / "flips.txt"
        script.write_text("".join(f"{4 * i} {i % 256:08b}\n" for i in range(200)))
        # Threads that it starts are ordinary ones, as on a device.
        first = ["nice", "-n", "-11", "chrt", "--reset-on-fork", "--fifo", "20"]
        first = first if os.geteuid() == 0 else []
        words = [*first, SWITCHBOARD, "play", "--switches", f"script:{script}"]
        words += ["--speaker", "silent"]
        files = ["--control", folder / "control.sock", "--status", self.status_file]
        self.process = subprocess.Popen(
            [*words, *map(str, files), "--keep-folder", str(folder / "kept"), "--seconds", "7200"],
            stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
        )  # fmt: skip
        wait_until(self.status_file.exists)

    def figures(self):
        """Processor time in s; gaps and late blocks."""
        status = json.loads(self.status_file.read_text())
        tasks = {
            task.name: int((task / "schedstat").read_text().split()[0]) / 1e9
            for task in Path(f"/proc/{self.process.pid}/task").iterdir()
        }
        gaps = {name: status[name] for name in ("underruns", "late_blocks")}
        return {"tasks": tasks, "wall": time.monotonic(), **gaps}


def measured(player, seconds, work=time.sleep):
    """What happens while some work is done: percent of a core, in all and by thread; gaps."""
    before = player.figures()
    work(seconds)
    time.sleep(1.5)  # the status is written once a second
    after = player.figures()
    wall = after["wall"] - before["wall"]
    threads = [
        100 * (used - before["tasks"].get(name, 0.0)) / wall
        for name, used in sorted(after["tasks"].items(), key=lambda task: int(task[0]))
    ]
    return {
        "process_percent": round(sum(threads), 3),
        "thread_percent": [round(share, 3) for share in threads if share > 0.001],
        "underruns": after["underruns"] - before["underruns"],
        "late_blocks": after["late_blocks"] - before["late_blocks"],
    }


def events(panel):
    """A connection that streams events; who reads it is a browser."""
    connection = panel.connect()
    connection.sendall(
        f"GET /api/events HTTP/1.1\r\nHost: 127.0.0.1:{panel.port}\r\n"
        f"Authorization: Bearer {panel.token}\r\n\r\n".encode()
    )
    connection.setblocking(True)
    return subprocess.Popen(["cat"], stdin=connection.fileno(), stdout=subprocess.DEVNULL)


def load(panel, per_second, counts):
    """Requests at a rate, over connections that are kept."""

    def send(seconds):
        requests = [
            f"GET {path} HTTP/1.1\r\nHost: 127.0.0.1:{panel.port}\r\n"
            f"Authorization: Bearer {token}\r\n\r\n".encode()
            for path, token in (("/", ""), ("/api/kept", panel.token), ("/api/kept", "wrong"))
        ]
        connections = [panel.connect() for _ in range(N_CONNECTIONS)]
        begin = time.monotonic()
        n = 0
        while (now := time.monotonic()) < begin + seconds:
            if n > (now - begin) * per_second:
                time.sleep(0.002)
                continue
            for i, connection in enumerate(connections):
                connection.sendall(requests[(n + i) % len(requests)])
            for connection in connections:
                status = _answer(connection)
                counts[status] = counts.get(status, 0) + 1
            n += len(connections)
        counts["per_second"] = round(n / (time.monotonic() - begin))
        for connection in connections:
            connection.close()

    return send


def _answer(connection):
    """Reads one response whole; its status."""
    head = b""
    while b"\r\n\r\n" not in head:
        head += connection.recv(65536)
    head, _, body = head.partition(b"\r\n\r\n")
    length = int(head.lower().partition(b"content-length: ")[2].split(b"\r\n")[0])
    while len(body) < length:
        body += connection.recv(65536)
    return head.split()[1].decode()


def main():
    """Measure, and print the figures."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seconds", type=float, default=60.0)
    parser.add_argument("--per-second", type=float, default=1000.0)
    parser.add_argument("--nice", type=int, default=0, help="of the panel and of the requests")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        player = Playing(Path(folder))
        panel = Panel(Path(folder))
        for pid in (panel.process.pid, os.getpid()):
            os.setpriority(os.PRIO_PROCESS, pid, options.nice)
        time.sleep(5)
        counts = {}
        figures = {"nobody": measured(player, options.seconds)}
        browser = events(panel)
        time.sleep(2)
        figures["one browser"] = measured(player, options.seconds)
        figures["panel_mb"] = round(panel.resident_mb(), 1)
        work = load(panel, options.per_second, counts)
        figures["load"] = measured(player, options.seconds, work) | {"requests": counts}
        figures["panel_mb_after"] = round(panel.resident_mb(), 1)
        figures["load_average"] = os.getloadavg()[0]
        for thing in (browser, player.process):
            thing.kill()
            thing.wait()
        panel.close()
    sys.stdout.write(json.dumps(figures, indent=1) + "\n")


if __name__ == "__main__":
    main()
