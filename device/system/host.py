"""Facts about the machine: files of the kernel, and output of small commands.

All files are below one root and all commands go through one function, so that a test can simulate a
machine.
"""

import os
import shutil
import subprocess
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

_COMMAND_SECONDS = 5.0
# By which the hardware's clock and the system's may differ.
_RTC_SECONDS = 60.0

RunCommand = Callable[[tuple[str, ...]], str | None]


def run_command(command: tuple[str, ...]) -> str | None:
    """What a command prints; None if it is not there, fails or hangs."""
    try:
        completed = subprocess.run(
            command, capture_output=True, text=True, timeout=_COMMAND_SECONDS, check=True
        )
    except (OSError, ValueError, subprocess.SubprocessError):
        return None
    return completed.stdout.strip()


@dataclass(frozen=True)
class Host:
    """A machine.

    Attributes
    ----------
    root : Path
        Below which its files are.
    run : callable
        Runs a command.
    groups : callable
        Names of the groups of a user.
    now : callable
        Seconds since the epoch.
    """

    root: Path = Path("/")
    run: RunCommand = run_command
    groups: Callable[[str], set[str]] = field(default_factory=lambda: groups_of)
    now: Callable[[], float] = time.time

    def path(self, place: str) -> Path:
        """A file of this machine."""
        return self.root / place.lstrip("/")

    def text(self, place: str) -> str | None:
        """Content of a kernel file without its padding; None if it cannot be read."""
        try:
            return self.path(place).read_text(encoding="utf-8", errors="replace").strip("\0 \n")
        except OSError:
            return None

    def number(self, place: str) -> int | None:
        """The number in a file, decimal or hexadecimal; None if there is none."""
        text = self.text(place)
        try:
            return int(text or "", 16 if place.endswith("throttled") else 10)
        except ValueError:
            return None

    def degrees(self) -> float | None:
        """Temperature of the processor in degrees Celsius."""
        thousandths = self.number("/sys/class/thermal/thermal_zone0/temp")
        return None if thousandths is None else thousandths / 1000

    def knows_the_time(self) -> bool:
        """Whether the time of day is right: set by the network, or by a clock with a battery.

        A Pi without either starts at the time at which it was switched off.
        """
        service = self.path("/run/systemd/timesync")
        if (service / "synchronized").exists():
            return True
        # One without a battery starts in 1970, and the system does not believe it.
        clocks = self.path("/sys/class/rtc").glob("*/since_epoch")
        numbers = [self.number(f"/sys/class/rtc/{path.parent.name}/{path.name}") for path in clocks]
        if any(abs(self.now() - number) <= _RTC_SECONDS for number in numbers if number):
            return True
        # Another service than systemd's own sets it, such as chrony.
        command = ("timedatectl", "show", "--property=NTPSynchronized", "--value")
        return not service.exists() and self.run(command) == "yes"

    def free_bytes(self, place: str) -> int | None:
        """Free bytes on the disk of a path, or of its nearest parent that exists."""
        path = self.path(place)
        while not path.exists() and path != path.parent:
            path = path.parent
        try:
            return shutil.disk_usage(path).free
        except OSError:
            return None

    def mount_of(self, place: str) -> tuple[str, set[str]]:
        """File system and options of what a place is on."""
        longest, mount = "", ("", set[str]())
        for line in (self.text("/proc/mounts") or "").splitlines():
            point, kind, options = (line.split() + [""] * 4)[1:4]
            inside = point in ("/", place) or place.startswith(f"{point}/")
            # The later of two mounts on one place hides the earlier.
            if inside and len(point) >= len(longest):
                longest, mount = point, (kind, set(options.split(",")))
        return mount

    def unit(self, name: str, *properties: str) -> dict[str, str]:
        """Properties of a systemd unit; empty without systemd."""
        output = self.run(("systemctl", "show", name, f"--property={','.join(properties)}"))
        pairs = (line.partition("=") for line in (output or "").splitlines())
        return {key: value for key, equals, value in pairs if equals}


def groups_of(user: str) -> set[str]:
    """Names of the groups a user is in, by the user database."""
    import grp
    import pwd

    try:
        entry = pwd.getpwnam(user)
    except KeyError:
        return set()
    names = set()
    for number in os.getgrouplist(user, entry.pw_gid):
        try:
            names.add(grp.getgrgid(number).gr_name)
        except KeyError:
            continue
    return names


def user_exists(user: str) -> bool:
    """Whether the user database has this user."""
    import pwd

    try:
        pwd.getpwnam(user)
    except KeyError:
        return False
    return True
