"""A root tree with two versions of the instrument, a simulated systemd, and a power switch.

The scripts are the real ones, the programs that they call are replaced: each counts as a step, and
before one of them the power can be cut, which ends all processes. What systemd has loaded is kept
apart from what is on the disk. A version plays if it is complete, a file in it says so, and all
units that are loaded are its own.
"""

import os
import shutil
import signal
import subprocess
from pathlib import Path

FOLDER = Path(__file__).parents[2] / "systemd"
HOME = "opt/switchboard"
UNITS = "etc/systemd/system"
TRIAL_UNIT = "switchboard-trial.service"
# Shell functions in the place of programs: what renames or removes files, and systemd. They are
# functions, and do without programs, because a process for each step would take most of the time.
_PRELUDE = r"""
step() {
    read -r n <"$SIM/steps"; n=$((n + 1)); echo $n >"$SIM/steps"
    [ "$n" != "$CUT" ] || kill -KILL 0
    [ -z "$KEEP" ] || command cp -a "$ROOT" "$SIM/cuts/$n"
}
mv() { step; command mv "$@"; }
rm() { step; command rm "$@"; }
mkdir() { [ -d "$2" ] || command mkdir "$@"; }
chmod() { :; }
sync() { :; }
sleep() { :; }
journalctl() { :; }
date() { echo 0; }
sim_load() { command rm -rf "$SIM/loaded"; command cp -R "$ROOT/etc/systemd/system" "$SIM/loaded"; }
sim_plays() {
    version=$(readlink "$ROOT/opt/switchboard/current")
    folder=$ROOT/opt/switchboard/$version version=${version#versions/}
    [ -f "$folder/complete" ] && [ -f "$folder/plays" ] || return 1
    for unit in switchboard.service switchboard-fallback.service switchboard.service.d/box.conf; do
        grep -q "^# of $version\$" "$SIM/loaded/$unit" || return 1
    done
}
sim_trial() {
    sim_load
    [ -f "$ROOT/opt/switchboard/trial" ] || return 0
    sh "$ROOT/opt/switchboard/trying/systemd/trial.sh" || true
}
sim_start() {
    command rm -f "$SIM/playing"
    sim_plays && echo "$version" >"$SIM/playing"
}
systemctl() {
    step
    case "$*" in
        "restart switchboard-trial" | "start --no-block switchboard-trial" | boot) sim_trial ;;
        "restart switchboard") sim_start ;;
        "stop switchboard-trial") ;;
        "stop "*) command rm -f "$SIM/playing" ;;
        daemon-reload) sim_load ;;
        "show -p NRestarts"*) echo 0 ;;
        "show -p StatusText"*) [ ! -f "$SIM/playing" ] || cat "$SIM/text-$(cat "$SIM/playing")" ;;
        "show -p ActiveState"*) echo inactive ;;
        "--quiet is-active switchboard") [ -f "$SIM/playing" ] ;;
    esac
}
"""


class SimulatedDevice:
    """A device on which `old` plays.

    Attributes
    ----------
    root : Path
    output : str
        Of the last script.
    """

    def __init__(self, folder):
        self.root, self._sim = folder / "root", folder / "sim"
        self.output = ""
        (self.root / "run/systemd/system").mkdir(parents=True)
        self._sim.mkdir()
        (self._sim / "prelude.sh").write_text(_PRELUDE)
        for version in ("old", "new"):
            self._install(version)
        self._run("switch_to old\nsystemctl daemon-reload\nsystemctl restart switchboard\n")
        assert self.playing == "old", self.output

    def copy(self, folder):
        """Another device in the same state."""
        shutil.copytree(self.root.parent, folder, symlinks=True)
        twin = object.__new__(SimulatedDevice)
        twin.root, twin._sim, twin.output = folder / "root", folder / "sim", ""
        return twin

    @property
    def playing(self):
        """The version that plays, or None."""
        path = self._sim / "playing"
        return path.read_text().strip() if path.exists() else None

    @property
    def current(self):
        return (self.root / HOME / "current").readlink().name

    @property
    def n_steps(self):
        return int((self._sim / "steps").read_text())

    def version(self, name):
        return self.root / HOME / "versions" / name

    def spoil(self, version):
        """From now on it does not play."""
        (self.version(version) / "plays").unlink()

    def says(self, version, text):
        """Its status line."""
        (self._sim / f"text-{version}").write_text(f"{text}\n")

    def activate(self, *, cut=None, start="yes", keep=False):
        """What install.sh does once `new` is complete; whether it did so, None if it was cut."""
        script = f"id=new start={start}\nactivate\nonly_two_versions\n"
        return self._run(script, cut=cut, keep=keep)

    def begin_and_end(self):
        """What install.sh does where it is ended between the mark and the trial."""
        words = "id=new tried=yes start=yes; trap tidy EXIT; begin_trial new old; exit 130"
        return self._run(f"{words}\n")

    def cuts(self):
        """The states in which each step of the last run could have been cut, as devices."""
        for n in range(1, self.n_steps + 1):
            twin = object.__new__(SimulatedDevice)
            twin.root, twin._sim, twin.output = self._sim / f"cuts/{n}", self._sim, ""
            yield twin

    def boot(self, *, cut=None):
        """Switch it on: units are loaded from the disk; None if it was cut again."""
        (self._sim / "playing").unlink(missing_ok=True)
        done = self._run("systemctl boot\n", cut=cut)
        if done is not None and self.playing is None:
            self._run("systemctl restart switchboard || true\n")
        return done

    def _install(self, version):
        folder = self.version(version)
        shutil.copytree(FOLDER, folder / "systemd")
        units = [*(folder / "systemd").glob("*.service"), *(folder / "systemd").glob("*/box.conf")]
        for unit in units:
            with unit.open("a") as file:
                file.write(f"# of {version}\n")
        # The simulation is read in front of the script that systemd runs.
        trial = folder / "systemd/trial.sh"
        trial.write_text(
            trial.read_text().replace("set -eu\n", 'set -eu\n. "$SIM/prelude.sh"\n', 1)
        )
        (folder / "bin").mkdir()
        (folder / "bin/switchboard").write_text('#!/bin/sh\n[ -f "${0%/bin/*}/heard" ]\n')
        (folder / "bin/switchboard").chmod(0o755)
        for name in ("heard", "plays", "complete"):
            (folder / name).touch()
        self.says(version, f"playing {version} on a card")

    def _run(self, script, *, cut=None, keep=False):
        """Run the installer's functions in the tree; None if the power was cut."""
        (self._sim / "steps").write_text("0\n")
        (self._sim / "cuts").mkdir(exist_ok=True)
        # The installer without its last lines, which would run all of it.
        functions = (FOLDER / "install.sh").read_text().rpartition("scratch=$(mktemp")[0]
        functions = functions.replace('$(cd "$(dirname "$0")" && pwd)', str(FOLDER))
        file = self._sim / "script.sh"
        file.write_text(f'{functions}\n. "$SIM/prelude.sh"\nroot=$ROOT\n{script}')
        done = subprocess.run(
            ["sh", str(file)],
            env={
                "PATH": os.environ["PATH"],
                "ROOT": str(self.root),
                "SIM": str(self._sim),
                "CUT": str(cut or ""),
                "KEEP": "yes" if keep else "",
            },
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            check=False,
            start_new_session=True,
        )
        self.output = done.stdout
        return None if done.returncode == -signal.SIGKILL else done.returncode == 0
