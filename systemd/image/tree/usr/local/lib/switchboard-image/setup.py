"""Host name, keys, Wi-Fi and time zone, from the partition that a laptop can edit.

    setup.py BOOT TO

Reads ``rpi-preseed.toml``, as Raspberry Pi Imager writes it, and ``authorized_keys`` in BOOT, and
writes what follows from them to TO. This is done at every boot and TO is in memory, so that nothing
is half-done after a power cut and an edit always counts. What cannot be right is left out and said.
"""

import os
import re
import socket
import sys
import tomllib
from collections.abc import Callable
from pathlib import Path
from typing import Any

MOST_BYTES = 64 * 1024
ZONES = Path("/usr/share/zoneinfo")
HOSTNAME = re.compile(r"[A-Za-z0-9]([A-Za-z0-9-]{0,61}[A-Za-z0-9])?")
KEY = re.compile(r"((ssh|ecdsa|sk)-[\w@.-]+) [A-Za-z0-9+/=]+( [ -~]*)?", re.ASCII)
ZONE = re.compile(r"[A-Za-z0-9_+-]+(/[A-Za-z0-9_+-]+)*")
COUNTRY = re.compile(r"[A-Z]{2}")
RAW_KEY = re.compile(r"[0-9A-Fa-f]{64}")
PASSPHRASE = re.compile(r"[ -~]{8,63}")
# What Imager writes and this image has no use for; anything else is a misspelling.
UNUSED = {"user", "locale.keymap", "connect", "interfaces", "ssh.password_authentication"}
UNUSED |= {"ssh.enabled", "config_version"}


class Refused(ValueError):
    """A setting that cannot be right: what was found, and what was expected."""


def main(boot: Path, to: Path) -> None:
    """Apply the settings below `boot`."""
    to.mkdir(mode=0o755, parents=True, exist_ok=True)
    settings = Settings(boot)
    for step in (hostname, hosts, authorized_keys, wifi, timezone):
        attempt(lambda step=step: step(settings, to))
    for name in settings.unread():
        say(f"{name}: not used by this image")


class Settings:
    """The tables of ``rpi-preseed.toml``; empty where there is none, or it is no TOML."""

    def __init__(self, boot: Path) -> None:
        self.boot = boot
        self._tables: dict[str, Any] = {}
        self._read: set[str] = set()
        attempt(self._load)

    def _load(self) -> None:
        if (text := limited(self.boot / "rpi-preseed.toml")) is None:
            return
        try:
            self._tables = tomllib.loads(text)
        except tomllib.TOMLDecodeError as error:
            raise Refused(f"rpi-preseed.toml: found no TOML ({error}), left out whole") from None

    def get(self, table: str, key: str, kind: type, default: Any) -> Any:
        """One value, of the kind that is expected."""
        self._read.add(f"{table}.{key}")
        values = self._tables.get(table, {})
        value = values.get(key, default) if isinstance(values, dict) else None
        if type(value) is not kind:
            name = f"{table}.{key}"
            raise Refused(f"rpi-preseed.toml: {name}: found {value!r}, expected a {kind.__name__}")
        return value

    def unread(self) -> list[str]:
        """Names in the file that no setting is called."""
        names = set()
        for table, values in self._tables.items():
            keys = values if isinstance(values, dict) else ()
            names |= {f"{table}.{key}" for key in keys if table not in UNUSED} or {table}
        return sorted(names - self._read - UNUSED)


def hostname(settings: Settings, _to: Path) -> None:
    """Set the name of the machine until it is switched off."""
    name = settings.get("system", "hostname", str, "")
    if not name:
        return
    expect(HOSTNAME, name, "system.hostname", "up to 63 letters, digits and hyphens")
    socket.sethostname(name)
    say(f"host name: {name}")


def hosts(_settings: Settings, to: Path) -> None:
    """Write the address of the name, whichever it is: sudo looks it up, and warns without."""
    lines = ("127.0.0.1 localhost", "::1 localhost", f"127.0.1.1 {socket.gethostname()}")
    write(to / "hosts", "\n".join(lines) + "\n", 0o644)


def authorized_keys(settings: Settings, to: Path) -> None:
    """Write the keys that may log in; where there is none, no file, and ssh does not listen."""
    wanted = settings.get("ssh", "authorized_keys", list, [])
    wanted = [*wanted, *(limited(settings.boot / "authorized_keys") or "").splitlines()]
    keys = []
    for line in wanted:
        if not isinstance(line, str) or not (line := line.strip()) or line.startswith("#"):
            continue
        if KEY.fullmatch(line):
            keys.append(line)
        else:
            say(f"found no ssh key in {line[:60]!r}, expected a line of a .pub file: left out")
    if keys:
        write(to / "authorized_keys", "\n".join(keys) + "\n", 0o644)
    say(f"keys that may log in as pi: {len(keys)}" + ("" if keys else ", so ssh stays off"))


def wifi(settings: Settings, to: Path) -> None:
    """Write the configuration of wpa_supplicant; without a network, none."""
    ssid = settings.get("wlan", "ssid", str, "").encode()
    if code := settings.get("wlan", "ssid_hex", str, ""):
        expect(re.compile("([0-9A-Fa-f]{2})+"), code, "wlan.ssid_hex", "pairs of hex digits")
        ssid = bytes.fromhex(code)
    password = settings.get("wlan", "password", str, "")
    hidden = settings.get("wlan", "hidden", bool, False)
    settings.get("wlan", "password_encrypted", bool, False)
    country = settings.get("wlan", "country", str, "")
    if not ssid:
        return
    if len(ssid) > 32:
        raise Refused(f"wlan.ssid: found {len(ssid)} bytes, expected at most 32")
    lines = ["update_config=0", "network={", f"    ssid={ssid.hex()}"]
    if country:
        expect(COUNTRY, country, "wlan.country", "two capital letters, such as DE")
        lines.insert(0, f"country={country}")
    lines += ["    scan_ssid=1"] * hidden
    lines += key_lines(password)
    write(to / "wpa_supplicant.conf", "\n".join([*lines, "}"]) + "\n", 0o600)
    say(f"Wi-Fi: {ssid.decode(errors='replace')!r}")


def key_lines(password: str) -> list[str]:
    """What wpa_supplicant is told about a password; never the password in a message."""
    if not password:
        return ["    key_mgmt=NONE"]
    if RAW_KEY.fullmatch(password):
        return ["    key_mgmt=WPA-PSK", f"    psk={password}"]
    if not PASSPHRASE.fullmatch(password):
        raise Refused(
            f"wlan.password: found {len(password)} characters, expected 8 to 63 of ASCII, or 64 "
            "hex digits: no Wi-Fi"
        )
    # Quoted up to the last quotation mark of the line: nothing in it needs escaping.
    return ["    key_mgmt=WPA-PSK SAE", "    ieee80211w=1", f'    psk="{password}"']


def timezone(settings: Settings, to: Path) -> None:
    """Point the link ``localtime`` at a zone: /etc/localtime points at it."""
    zone = settings.get("locale", "timezone", str, "") or "Etc/UTC"
    expect(ZONE, zone, "locale.timezone", "a name such as Europe/Berlin")
    if not (ZONES / zone).is_file():
        raise Refused(f"locale.timezone: found {zone!r}, expected a name such as Europe/Berlin")
    new = to / "localtime.new"
    new.unlink(missing_ok=True)
    new.symlink_to(ZONES / zone)
    new.replace(to / "localtime")


def limited(path: Path) -> str | None:
    """The text of a small file; None where there is none."""
    try:
        with path.open("rb") as file:
            data = file.read(MOST_BYTES + 1)
    except FileNotFoundError:
        return None
    if len(data) > MOST_BYTES:
        raise Refused(f"{path.name}: found more than {MOST_BYTES} bytes, expected fewer: left out")
    # Windows' editors put a mark before the first letter.
    return data.decode("utf-8-sig", errors="replace")


def expect(pattern: "re.Pattern[str]", value: str, name: str, expected: str) -> None:
    """Refuse a value that is not of the form it should have."""
    if not pattern.fullmatch(value):
        raise Refused(f"{name}: found {value!r}, expected {expected}")


def write(path: Path, text: str, mode: int) -> None:
    """Write a file whole; it has its mode from the beginning."""
    new = path.with_suffix(".new")
    new.unlink(missing_ok=True)
    with open(new, "x", opener=lambda name, flags: os.open(name, flags, mode)) as file:
        file.write(text)
    new.replace(path)


def attempt(step: Callable[[], None]) -> None:
    """Do one step; what fails is said and does not stop the others."""
    try:
        step()
    except (Refused, OSError) as error:
        say(str(error))


def say(text: str) -> None:
    """Text may come from a file: what is not printable is shown by its number."""
    sys.stdout.write("".join(c if c.isprintable() else repr(c)[1:-1] for c in text) + "\n")


if __name__ == "__main__":
    main(*map(Path, sys.argv[1:3]))
