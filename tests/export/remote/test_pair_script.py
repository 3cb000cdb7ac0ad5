"""pair.sh, on simulated devices: accounts, shells and keys of others."""

import os
import subprocess
import tempfile
from pathlib import Path

import pytest

SCRIPT = Path(__file__).parents[3] / "export" / "remote" / "pair.sh"
KEY = "ssh-ed25519 AAAAC3Nza+/= switchboard-push"


@pytest.fixture
def appliance(tmp_path):
    """Folders of an installed device; `sudo` and other programs log how they are called."""
    programs = tmp_path / "bin"
    programs.mkdir()
    installed = tmp_path / "opt" / "switchboard" / "current" / "bin" / "switchboard"
    installed.parent.mkdir(parents=True)
    make(installed, "true")
    make(programs / "id", '[ "$1" = -un ] && echo pi || echo 1000')
    make(
        programs / "getent",
        f"echo switchboard:x:998:998::{tmp_path}/state:/usr/sbin/nologin",
    )
    log = f'echo "$(basename "$0") $*" >>{tmp_path}/calls\n'
    make(programs / "sudo", log + 'shift; exec "$@"')
    make(programs / "setpriv", log + 'while [ "$1" != -- ]; do shift; done; shift; exec "$@"')
    make(programs / "usermod", log)
    make(programs / "mkdir", 'case "$*" in */var/lib/*) ;; *) exec /bin/mkdir "$@" ;; esac')
    make(programs / "test", "true")
    return tmp_path


def make(path, body):
    path.write_text(f"#!/bin/sh\n{body}\n")
    path.chmod(0o755)


def run_script(device, *arguments):
    text = SCRIPT.read_text().replace("/opt/switchboard", f"{device}/opt/switchboard")
    text = text.replace("as_account test -w", f"as_account {device}/bin/test -w")
    done = subprocess.run(
        ["sh", "-s", "--", *arguments],
        input=text,
        capture_output=True,
        text=True,
        check=True,
        env={"PATH": f"{device}/bin:/usr/bin:/bin", "HOME": str(device / "pi")},
    )
    assert done.stderr == ""
    return dict(line.split("=", 1) for line in done.stdout.splitlines())


def test_on_an_installed_device_the_key_goes_to_the_devices_own_account(appliance):
    answers = run_script(appliance, KEY, "", "")
    program = f"{appliance}/opt/switchboard/current/bin/switchboard"
    assert answers["state"] == "new"
    assert (answers["account"], answers["program"]) == ("switchboard", program)
    line = (appliance / "state" / ".ssh" / "authorized_keys").read_text()
    assert line == f'restrict,command="{program} receive" {KEY}\n'
    assert not (appliance / "pi").exists()


def test_the_devices_account_gets_a_shell_for_its_one_command(appliance):
    assert run_script(appliance, KEY, "", "")["shell"] == "/bin/sh"
    calls = (appliance / "calls").read_text()
    assert "usermod --shell /bin/sh switchboard" in calls
    assert "sudo -n usermod" in calls
    assert "setpriv --reuid switchboard --regid switchboard --init-groups -- " in calls


def test_an_owner_who_may_not_sudo_is_reported(appliance):
    make(appliance / "bin" / "sudo", "exit 1")
    assert run_script(appliance, KEY, "", "")["state"] == "nosudo"


def test_keys_of_others_stay_as_they_are(appliance):
    keys = appliance / "state" / ".ssh" / "authorized_keys"
    keys.parent.mkdir(parents=True)
    others = "ssh-ed25519 BBBB me\n# a remark\nssh-rsa CCCC you"
    keys.write_text(others)
    assert run_script(appliance, KEY, "", "")["state"] == "new"
    assert keys.read_text().startswith(others + "\n")
    assert run_script(appliance, KEY, "", "")["state"] == "found"
    older = keys.read_text()
    keys.write_text(older.replace("current", "older"))
    assert run_script(appliance, KEY, "", "")["state"] == "new"
    assert keys.read_text() == older


@pytest.mark.parametrize(
    "line",
    [
        KEY,
        f'command="sh" {KEY}',
        f'restrict,command="/bin/sh -c receive" {KEY} more',
        f'command="/x/switchboard receive" {KEY}',
        f'restrict,pty,command="/x/switchboard receive" {KEY}',
    ],
)
def test_a_line_that_permits_more_than_a_pairing_is_kept_and_reported(appliance, line):
    keys = appliance / "state" / ".ssh" / "authorized_keys"
    keys.parent.mkdir(parents=True)
    keys.write_text(line + "\n")
    is_kept = "restrict,command" not in line
    assert run_script(appliance, KEY, "", "")["state"] == ("taken" if is_kept else "new")
    assert (line in keys.read_text()) == is_kept


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can become another account")
@pytest.mark.parametrize("target", ["folder", "nothing"])
def test_root_makes_no_store_behind_a_link_of_another_account(tmp_path, target):
    """Paired as root with a store in another account's folder."""
    account = 64_123
    with tempfile.TemporaryDirectory(prefix="switchboard-") as name:
        root, other = Path(name), Path(name) / "other"
        root.chmod(0o755)
        private = root / "private"
        private.mkdir(mode=0o700)
        other.mkdir()
        os.chown(other, account, account)
        (other / "link").symlink_to(private if target == "folder" else root / "nothing")
        os.chown(other / "link", account, account, follow_symlinks=False)
        make(tmp_path / "switchboard", "true")
        arguments = [KEY, str(tmp_path / "switchboard")]
        environment = {"PATH": "/usr/sbin:/usr/bin:/sbin:/bin", "HOME": str(tmp_path / "root")}

        def pair(store):
            done = subprocess.run(
                ["sh", "-s", "--", *arguments, str(store)],
                input=SCRIPT.read_text(),
                capture_output=True,
                text=True,
                check=True,
                env=environment,
            )
            return dict(line.split("=", 1) for line in done.stdout.splitlines())["state"]

        assert pair(other / "link" / "models") == "nostore"
        assert list(private.iterdir()) == []
        assert not (root / "nothing").exists()
        assert pair(other / "deep" / "models") == "new"
        assert {(other / "deep" / name).stat().st_uid for name in (".", "models")} == {account}
