"""What `switchboard report` says of a board besides figures: files of the kernel, and systemd.

Nothing here is a name that a person chose or a number that is one device's alone: no host, account
or network name, no address, no serial number, no path and no title of a model.
"""

import os
from importlib.metadata import PackageNotFoundError, version

from device.commands.checks import FALLBACK, UNIT
from device.system.host import Host

Facts = dict[str, str | None]

_PACKAGES = (
    "lofi-switchboard",
    "numpy",
    "onnxruntime",
    "sounddevice",
    "gpiozero",
    "lgpio",
    "soxr",
    "click",
    "rich",
)
_FREQUENCY = "/sys/devices/system/cpu/cpu0/cpufreq"


def board(host: Host) -> Facts:
    """The machine and its system."""
    names = dict(
        line.split("=", 1)
        for line in (host.text("/etc/os-release") or "").splitlines()
        if "=" in line
    )
    memory = (host.text("/proc/meminfo") or "").partition("MemTotal:")[2].split()
    kilohertz = host.number(f"{_FREQUENCY}/cpuinfo_max_freq")
    return {
        "board": host.text("/proc/device-tree/model") or "no Raspberry Pi",
        "system": names.get("PRETTY_NAME", "").strip('"') or None,
        "kernel": host.text("/proc/sys/kernel/osrelease"),
        "machine": os.uname().machine,
        "cores": str(os.cpu_count()),
        "clock": f"at most {kilohertz / 1e3:.0f} MHz" if kilohertz else None,
        "clock governor": host.text(f"{_FREQUENCY}/scaling_governor"),
        "memory": f"{int(memory[0]) / 1024:.0f} MiB" if memory else None,
    }


def packages() -> Facts:
    """Versions of what plays."""
    found: Facts = {}
    for name in _PACKAGES:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            found[name] = None
    return found


def sound(host: Host) -> Facts:
    """The kernel's sound cards, and the buffer of each that plays now."""
    # A card is two lines, of which the second can name the place at which it is plugged in.
    lines = (host.text("/proc/asound/cards") or "").splitlines()
    cards = [line.partition("]:")[2].strip() for line in lines if "]:" in line]
    facts: Facts = {"sound cards": "; ".join(cards) or "none"}
    for path in sorted(host.path("/proc/asound").glob("card*/pcm*p/sub*/hw_params")):
        place = f"/proc/asound/{path.relative_to(host.path('/proc/asound'))}"
        keys = dict(
            line.split(": ", 1) for line in (host.text(place) or "").splitlines() if ": " in line
        )
        if keys:
            facts[f"buffer of {path.parts[-4]}"] = (
                f"{keys.get('buffer_size')} frames in periods of {keys.get('period_size')}, "
                f"{keys.get('rate', '').partition(' ')[0]} Hz, {keys.get('format')}"
            )
    return facts


def playing_unit(host: Host) -> str | None:
    """The service that plays, or None."""
    active = (
        u for u in (UNIT, FALLBACK) if host.unit(u, "ActiveState") == {"ActiveState": "active"}
    )
    return next(active, None)


def service(host: Host) -> Facts:
    """What systemd says of the service that plays; nothing without one."""
    unit = playing_unit(host)
    if unit is None:
        return {}
    properties = (
        "ExecMainStartTimestampMonotonic",
        "ActiveEnterTimestampMonotonic",
        "NRestarts",
        "MemoryCurrent",
        "Result",
    )
    values = host.unit(unit, *properties)
    begin, ready, restarts, memory = (
        int(values[name]) if values.get(name, "").isdecimal() else None for name in properties[:4]
    )
    return {
        "unit": unit,
        # READY is sent with the first block that the speaker takes.
        "start to first block": f"{(ready - begin) / 1e6:.2f} s" if begin and ready else None,
        "first block after the kernel's start": f"{ready / 1e6:.2f} s" if ready else None,
        "restarts": None if restarts is None else str(restarts),
        "memory of the unit": f"{memory / 2**20:.0f} MiB" if memory else None,
        "system start": (host.run(("systemd-analyze", "time")) or "").partition("\n")[0] or None,
    }
