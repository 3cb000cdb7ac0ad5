"""What an image takes from the partition that a laptop can edit."""

import importlib.util
import json
import lzma
import stat
import subprocess
from pathlib import Path

import pytest

from tests.appliance.emulated_pi import without_colours

IMAGE = Path(__file__).parents[2] / "systemd/image"
TOOLS = IMAGE / "tree/usr/local/lib/switchboard-image"
KEY = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIGd me@laptop"
# As Raspberry Pi Imager 2 writes it, with every question answered.
PRESEED = f"""\
config_version = 1

[system]
hostname = "studio"

[user]
name = "alice"
password = "$y$j9T$abc"
password_encrypted = true
groups = ["sudo"]

[ssh]
enabled = true
password_authentication = false
authorized_keys = [
  "{KEY}",
]

[wlan]
ssid = "caf\\"é"
password = "correct horse"
password_encrypted = false
hidden = true
country = "DE"

[locale]
keymap = "de"
timezone = "Europe/Berlin"
"""


def module(path):
    spec = importlib.util.spec_from_file_location(path.stem, path)
    loaded = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(loaded)
    return loaded


@pytest.fixture
def setup(tmp_path, monkeypatch, capsys):
    """Applies what lies in `boot`; the names it gave are in `hostnames`."""
    program = module(TOOLS / "setup.py")
    zones = tmp_path / "zoneinfo"
    (zones / "Europe").mkdir(parents=True)
    for name in ("Etc/UTC", "Europe/Berlin"):
        (zones / name).parent.mkdir(exist_ok=True)
        (zones / name).touch()
    monkeypatch.setattr(program, "ZONES", zones)

    class Setup:
        boot, to, hostnames = tmp_path / "boot", tmp_path / "run", []

        def __call__(self, preseed=None):
            if preseed is not None:
                (self.boot / "rpi-preseed.toml").write_text(preseed)
            program.main(self.boot, self.to)
            return capsys.readouterr().out

        @classmethod
        def hostname(cls):
            return ["switchboard", *cls.hostnames][-1]

    Setup.boot.mkdir()
    monkeypatch.setattr(program.socket, "sethostname", Setup.hostnames.append)
    monkeypatch.setattr(program.socket, "gethostname", Setup.hostname)
    return Setup()


def test_what_imager_writes_is_applied(setup):
    output = setup(PRESEED)

    assert setup.hostnames == ["studio"]
    assert "127.0.1.1 studio\n" in (setup.to / "hosts").read_text()
    assert (setup.to / "authorized_keys").read_text() == KEY + "\n"
    assert (setup.to / "localtime").readlink().match("Europe/Berlin")
    wifi = (setup.to / "wpa_supplicant.conf").read_text()
    ssid = 'caf"é'.encode().hex()
    for line in (f"ssid={ssid}", 'psk="correct horse"', "scan_ssid=1"):
        assert f"    {line}\n" in wifi
    assert wifi.startswith("country=DE\n")
    assert stat.S_IMODE((setup.to / "wpa_supplicant.conf").stat().st_mode) == 0o600
    assert "correct horse" not in output
    assert "not used" not in output


def test_the_file_that_comes_with_the_image_sets_nothing(setup):
    output = setup((IMAGE / "boot/rpi-preseed.toml").read_text())

    assert sorted(path.name for path in setup.to.iterdir()) == ["hosts", "localtime"]
    assert "ssh stays off" in output
    assert setup.hostnames == []


def test_without_any_file_nothing_is_set(setup):
    setup()

    assert sorted(path.name for path in setup.to.iterdir()) == ["hosts", "localtime"]


def test_keys_are_taken_from_a_file_of_their_own_as_well(setup):
    (setup.boot / "authorized_keys").write_bytes(
        b"\xef\xbb\xbf# laptop\r\n" + KEY.encode() + b"\r\nno key\x1b[31m\r\n"
    )
    output = setup()

    assert (setup.to / "authorized_keys").read_text() == KEY + "\n"
    assert "expected a line of a .pub file" in output
    assert "\x1b" not in output


@pytest.mark.parametrize(
    ("line", "says"),
    [
        ('[system]\nhostname = "-x y"', "system.hostname: found '-x y'"),
        ("[system]\nhostname = 7", "expected a str"),
        ("system = 7", "expected a str"),
        ('[wlan]\nssid = "x"\npassword = "short"', "wlan.password: found 5 characters"),
        ('[wlan]\nssid = "x"\ncountry = "de"', "expected two capital letters"),
        ('[wlan]\nssid_hex = "7g"', "expected pairs of hex digits"),
        (f'[wlan]\nssid = "{"x" * 33}"', "found 33 bytes, expected at most 32"),
        ('[locale]\ntimezone = "../../etc/shadow"', "locale.timezone: found '../../etc/shadow'"),
        ('[locale]\ntimezone = "Mars/Olympus"', "expected a name such as Europe/Berlin"),
        ("[wlan\n", "found no TOML"),
        ('[wlan]\nssld = "x"', "wlan.ssld: not used"),
        ("#" * 70_000, "found more than 65536 bytes"),
    ],
)
def test_what_cannot_be_right_is_said_and_the_rest_counts(setup, line, says):
    (setup.boot / "authorized_keys").write_text(KEY)
    output = setup(line)

    assert says in output
    assert not (setup.to / "wpa_supplicant.conf").exists()
    assert (setup.to / "authorized_keys").exists()
    assert setup.hostnames == []
    assert "127.0.1.1 switchboard\n" in (setup.to / "hosts").read_text()


def test_a_raw_key_and_an_open_network(setup):
    setup(f'[wlan]\nssid = "x"\npassword = "{"a1" * 32}"\npassword_encrypted = true')
    assert f"    psk={'a1' * 32}\n" in (setup.to / "wpa_supplicant.conf").read_text()

    setup('[wlan]\nssid = "x"')
    assert "key_mgmt=NONE" in (setup.to / "wpa_supplicant.conf").read_text()


def test_the_configuration_comes_from_the_boot_partition(tmp_path):
    (tmp_path / "switchboard.toml").write_bytes(b"\xef\xbb\xbfspeaker = 'USB'\r\n")
    words = ["sh", str(TOOLS / "configuration.sh"), str(tmp_path), str(tmp_path / "run")]
    subprocess.run(words, check=True)

    assert (tmp_path / "run/switchboard.toml").read_bytes() == b"speaker = 'USB'\r\n"


def test_a_host_key_is_made_once_and_again_where_it_was_cut_short(tmp_path):
    def make():
        subprocess.run(["sh", str(TOOLS / "host-key.sh"), str(tmp_path)], check=True)
        return key.read_bytes()

    key = tmp_path / "ssh_host_ed25519_key"
    first = make()
    assert make() == first
    assert stat.S_IMODE(key.stat().st_mode) == 0o600

    key.write_bytes(first[:100])
    assert make() not in (first, first[:100])
    assert sorted(path.name for path in tmp_path.iterdir()) == [key.name, f"{key.name}.pub"]


def test_the_rehearsal_finds_units_in_what_systemd_prints():
    shown = "[\x1b[0;32m  OK  \x1b[0m] Started \x1b[0;1;39mswitchboard.service\x1b[0m - Lo-Fi\x1b[K"
    assert without_colours(shown) == "[  OK  ] Started switchboard.service - Lo-Fi"


def test_the_manifest_has_what_imager_requires(tmp_path):
    image = tmp_path / "lofi-switchboard.img"
    image.write_bytes(bytes(4096))
    image.with_name(image.name + ".xz").write_bytes(lzma.compress(bytes(4096)))
    subprocess.run(["python3", str(IMAGE / "manifest.py"), str(image), "86400"], check=True)
    manifest = json.loads((tmp_path / "switchboard.rpi-imager-manifest").read_text())

    assert_valid(manifest)
    (entry,) = manifest["os_list"]
    assert entry["release_date"] == "1970-01-02"
    assert entry["extract_size"] == 4096
    assert entry["url"] == image.with_name(image.name + ".xz").as_uri()
    assert entry["init_format"] == "rpi-preseed"
    assert set(entry["devices"]) == {
        tag for device in manifest["imager"]["devices"] for tag in device["tags"]
    }


# The required fields and the types of an entry, from doc/json-schema/os-list-schema.json of
# rpi-imager 2 (August 2026).
REQUIRED = {
    "name": str,
    "description": str,
    "icon": str,
    "url": str,
    "extract_size": int,
    "extract_sha256": str,
    "image_download_size": int,
    "release_date": str,
    "devices": list,
}
FORMATS = ("", "none", "systemd", "cloudinit", "cloudinit-rpi", "rpi-preseed")


def assert_valid(manifest):
    assert set(manifest) <= {"imager", "os_list"}
    for device in manifest["imager"]["devices"]:
        assert {"name": str, "description": str, "tags": list}.items() <= {
            key: type(value) for key, value in device.items()
        }.items()
    for entry in manifest["os_list"]:
        assert REQUIRED.items() <= {key: type(value) for key, value in entry.items()}.items()
        assert entry["init_format"] in FORMATS
        assert len(bytes.fromhex(entry["extract_sha256"])) == 32
