"""The checks of `switchboard doctor` on a Raspberry Pi: the machine under the instrument."""

import getpass
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime

from device import errors
from device.store.store import DEFAULT_STORE, ModelStore
from device.switches.pinout import I2S_PINS
from device.switches.wiring import Wiring
from device.system.host import Host, user_exists
from device.updates.software.outcome import HOME, PLAYS, last_outcome, version_on_trial

GOOD, NOTE, BAD = "good", "note", "bad"
UNIT, FALLBACK = "switchboard.service", "switchboard-fallback.service"
USER = "switchboard"
STATE = "/var/lib/switchboard"

_HOT_DEGREES = 80.0
_LITTLE_BYTES = 100 * 2**20
_RESTART = f"journalctl -u {UNIT} -n 30 says why; then: sudo systemctl restart {UNIT}"
# The first release; an earlier clock is not set.
_EARLIEST_YEAR = 2025

_RELATIVE = "wake_at and quiet wait for the right time; sleep, wake_after and wander count minutes"

# Bits of the firmware's get_throttled; the same shifted by 16: true at some time since power-on.
_THROTTLED = {
    0: ("the voltage is too low", "take a power supply of 5 V and 3 A with a short, thick cable"),
    1: ("the clock is held down", "see to power and cooling"),
    2: ("the processor is throttled", "see to power and cooling"),
    3: ("it is so warm that the clock is lowered", "give the case air, or the chip a heat sink"),
}
_THROTTLED_FILES = (
    "/sys/devices/platform/soc/soc:firmware/get_throttled",
    "/sys/devices/platform/axi/axi:firmware/get_throttled",
)


@dataclass(frozen=True)
class Finding:
    """The result of one check.

    Attributes
    ----------
    what : str
        The part that was checked.
    verdict : str
        `GOOD`; `NOTE`, the instrument plays without it; `BAD`, it does not play.
    found : str
    remedy : str
        What to do; empty where nothing needs to be done.
    """

    what: str
    verdict: str
    found: str
    remedy: str = ""


def board(host: Host) -> Finding:
    """Which Pi it is."""
    model = host.text("/proc/device-tree/model") or host.text("/sys/firmware/devicetree/base/model")
    if model:
        return Finding("board", GOOD, model)
    return Finding("board", NOTE, "not a Raspberry Pi; everything but pins works")


def rights(host: Host, *, user: str | None = None) -> Finding:
    """Whether the user that plays may use pins and cards."""
    user = user or (USER if user_exists(USER) else getpass.getuser())
    needed = {"audio", "gpio"} if list(host.path("/dev").glob("gpiochip*")) else {"audio"}
    missing = sorted(needed - host.groups(user))
    if not missing or user == "root":
        return Finding("rights", GOOD, f"{user} may use {' and '.join(sorted(needed))}")
    remedy = f"sudo usermod -aG {','.join(missing)} {user}"
    then = f"sudo systemctl restart {UNIT}" if user == USER else "log in again"
    return Finding(
        "rights", NOTE, f"{user} is not in the group {', '.join(missing)}", f"{remedy}; {then}"
    )


def wiring(host: Host, connected: Wiring) -> Finding:
    """Whether the configured pins can be what they are meant to be."""
    pins = ", ".join(map(str, connected.pins))
    if problems := connected.problems():
        remedy = "choose pins with `pins = […]` in switchboard.toml; doctor --wiring draws them"
        return Finding("wiring", BAD, "; ".join(problems), remedy)
    used = set(connected.used)
    if _sound_on_header(host) and used & set(I2S_PINS):
        shared = ", ".join(str(bcm) for bcm in sorted(used & set(I2S_PINS)))
        remedy = "move those wires to other pins and name them in switchboard.toml"
        conflict = f"a sound card on the header (I2S) needs BCM {shared} as well"
        return Finding("wiring", NOTE, conflict, remedy)
    return Finding("wiring", GOOD, f"switches on BCM {pins}; doctor --wiring FILE.svg draws it")


def priority(host: Host) -> Finding | None:
    """Whether the audio loop of the running service goes before everything else."""
    pid = host.unit(UNIT, "MainPID").get("MainPID", "0")
    stat = host.text(f"/proc/{pid}/stat") if pid != "0" else None
    if stat is None:
        return None
    # After the name, which may contain anything but ends with the last parenthesis.
    fields = stat.rpartition(")")[2].split()
    real_time, policy = int(fields[37]), int(fields[38])
    if policy in (1, 2):
        return Finding("priority", GOOD, f"the audio loop runs in real time, priority {real_time}")
    remedy = f"systemctl show {UNIT} -p LimitRTPRIO must say 20; run install.sh again"
    return Finding(
        "priority",
        NOTE,
        "the audio loop is an ordinary process: a busy Pi may cause dropouts",
        remedy,
    )


def power(host: Host) -> Finding | None:
    """Low voltage and throttling, now or since power-on."""
    flags = _throttled(host)
    if flags is None:
        return None
    now = [bit for bit in _THROTTLED if flags >> bit & 1]
    before = [bit for bit in _THROTTLED if flags >> (bit + 16) & 1 and bit not in now]
    problems = [_THROTTLED[bit][0] for bit in now]
    problems += [f"since power-on: {_THROTTLED[bit][0]}" for bit in before]
    if not problems:
        return Finding("power", GOOD, "voltage and clock were right since power-on")
    return Finding("power", NOTE, "; ".join(problems), _THROTTLED[(now + before)[0]][1])


def temperature(host: Host) -> Finding | None:
    """The temperature of the processor."""
    degrees = host.degrees()
    if degrees is None:
        return None
    if degrees < _HOT_DEGREES:
        return Finding("temperature", GOOD, f"{degrees:.0f} °C")
    remedy = "give the case air, or the chip a heat sink; at 85 °C the Pi slows down"
    return Finding("temperature", NOTE, f"{degrees:.0f} °C", remedy)


def disk(host: Host) -> Finding | None:
    """Room for models and logs."""
    free = host.free_bytes(STATE)
    if free is None:
        return None
    size = f"{free / 2**20:,.0f} MiB free"
    if free >= _LITTLE_BYTES:
        return Finding("disk", GOOD, size)
    remedy = "sudo journalctl --vacuum-size=16M; switchboard models list names old models"
    return Finding("disk", NOTE, size, remedy)


def storage(host: Host) -> Finding | None:
    """Whether written files survive a power cut."""
    lost = [
        what
        for what, folder in (
            ("models", f"{STATE}/models"),
            ("the configuration", "/etc/switchboard"),
        )
        if _is_in_memory(host, folder)
    ]
    locked = "ro" in host.mount_of(f"{STATE}/models")[1]
    if locked:
        remedy = f"mount something writable on {STATE}, or: sudo mount -o remount,rw /"
        return Finding("storage", NOTE, "read-only: no model can be pushed", remedy)
    if lost:
        remedy = (
            "sudo raspi-config nonint disable_overlayfs and reboot, push or edit, and enable it "
            f"again; or mount a partition of its own on {STATE}"
        )
        lost_files = f"kept in memory alone, gone when the power goes: {', '.join(lost)}"
        return Finding("storage", NOTE, lost_files, remedy)
    return Finding("storage", GOOD, "what is written is kept")


def store(host: Host) -> Finding | None:
    """The active model, and those that were refused."""
    directory = host.path(str(DEFAULT_STORE))
    if not directory.is_dir():
        return None
    models = ModelStore(directory)
    active, previous = models.active(), models.previous()
    content = f"active {active.stem[:12]}" if active else "empty, the bundled model plays"
    content += f", before it {previous.stem[:12]}" if previous else ""
    refused = [model for model in models.models() if model.refused]
    if not refused:
        return Finding("model store", GOOD, content)
    content += "".join(f"; refused {model.digest[:12]}: {model.refused}" for model in refused)
    remedy = "export it again and push it; `switchboard models remove` deletes one"
    return Finding("model store", NOTE, content, remedy)


def log(host: Host) -> Finding | None:
    """Whether the log's size is limited."""
    if not host.path(f"/etc/systemd/system/{UNIT}").exists():
        return None
    if host.path("/etc/systemd/journald.conf.d/switchboard.conf").is_file():
        return Finding("log", GOOD, "bounded to 32 MiB on the disk")
    remedy = "run systemd/install.sh; or set SystemMaxUse= in /etc/systemd/journald.conf"
    return Finding("log", NOTE, "as large as the system lets it grow", remedy)


def clock(host: Host) -> Finding:
    """The time of day; the music and its timers do not need it, the log and `wake_at` do."""
    now = datetime.fromtimestamp(host.now(), UTC)
    time = f"{now:%Y-%m-%d %H:%M} UTC"
    if now.year < _EARLIEST_YEAR:
        remedy = "it plays all the same; for right times in the log: sudo timedatectl set-ntp true"
        return Finding("clock", NOTE, f"{time}; {_RELATIVE}", remedy)
    if host.knows_the_time():
        return Finding("clock", GOOD, time)
    return Finding("clock", GOOD, f"{time}, not compared with the network; {_RELATIVE}")


def unit(host: Host) -> Finding | None:
    """The state of the service in systemd."""
    status = host.unit(
        UNIT, "LoadState", "ActiveState", "UnitFileState", "Result", "ExecMainStatus", "NRestarts",
        "StatusText",
    )  # fmt: skip
    if status.get("LoadState") != "loaded":
        return None
    state = status.get("ActiveState", "")
    if host.unit(FALLBACK, "ActiveState").get("ActiveState") == "active":
        fallback = f"it fell back to the bundled model ({_exit_cause(status)})"
        return Finding("service", NOTE, fallback, _RESTART)
    if state == "failed":
        return Finding("service", BAD, f"failed ({_exit_cause(status)})", _RESTART)
    if state != "active":
        remedy = f"sudo systemctl enable --now {UNIT}"
        return Finding("service", NOTE, f"{state or 'unknown'}, it does not play", remedy)
    if status.get("UnitFileState") != "enabled":
        remedy = f"sudo systemctl enable {UNIT}"
        return Finding("service", NOTE, "it plays, but will not after the next boot", remedy)
    restarts = status.get("NRestarts", "0")
    text = status.get("StatusText") or "active"
    return Finding("service", GOOD, text + (f"; {restarts} restarts" if restarts != "0" else ""))


def update(host: Host) -> Finding | None:
    """What became of the last update of the software."""
    home = host.path(str(HOME))
    if trial := version_on_trial(home):
        remedy = "journalctl -u switchboard-trial says how far it is; the next boot decides at last"
        return Finding("update", NOTE, f"{trial} is on trial", remedy)
    outcome = last_outcome(home)
    if outcome is None:
        return None
    if outcome.outcome == PLAYS:
        return Finding("update", GOOD, outcome.words)
    return Finding("update", NOTE, outcome.words, "journalctl -u switchboard-trial has its log")


def all_findings(host: Host, connected: Wiring) -> Iterator[Finding]:
    """The results of all checks that apply to this machine."""
    yield board(host)
    yield rights(host)
    yield wiring(host, connected)
    for check in (unit, update, priority, power, temperature, disk, storage, store, log):
        finding = check(host)
        if finding is not None:
            yield finding
    yield clock(host)


def _throttled(host: Host) -> int | None:
    for path in _THROTTLED_FILES:
        flags = host.number(path)
        if flags is not None:
            return flags
    flags_text = (host.run(("vcgencmd", "get_throttled")) or "").partition("=")[2]
    try:
        return int(flags_text, 16)
    except ValueError:
        return None


def _sound_on_header(host: Host) -> bool:
    """Whether the device tree enables the header's I2S, as cards on the header do."""
    tree = host.path("/proc/device-tree")
    paths = [*tree.glob("soc/i2s@*/status"), *tree.glob("axi/*/rp1/i2s@*/status")]
    return any(path.read_text().strip("\0\n") == "okay" for path in paths)


def _is_in_memory(host: Host, folder: str) -> bool:
    """Whether a folder is in memory, itself or as the upper half of an overlay."""
    kind, options = host.mount_of(folder)
    if kind == "overlay":
        upper = next((o for o in options if o.startswith("upperdir=")), "=/").partition("=")[2]
        # Below the overlay itself, where Raspberry Pi OS puts it, it is in memory, too.
        return host.mount_of(upper)[0] in ("tmpfs", "ramfs", "overlay")
    return kind in ("tmpfs", "ramfs")


def _exit_cause(status: dict[str, str]) -> str:
    code = status.get("ExecMainStatus", "0")
    cause = causes().get(int(code) if code.isdecimal() else 0)
    return f"exit status {code}: {cause}" if cause else status.get("Result", "unknown")


def causes() -> dict[int, str]:
    """Exit status → what it means, from the errors themselves."""
    return {
        error.exit_code: (error.__doc__ or "").splitlines()[0].rstrip(".")
        for error in vars(errors).values()
        if isinstance(error, type)
        and issubclass(error, errors.SwitchboardError)
        and error is not errors.SwitchboardError
    }
