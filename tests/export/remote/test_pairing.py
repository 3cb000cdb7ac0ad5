"""A paired key can push a model and nothing else: asked of a real sshd, not of a manual."""

import os
import subprocess
import tempfile
from pathlib import Path

import pytest

from device.cli import main
from device.store.store import ModelStore
from export.remote.pairing import PairingError, make_identity, public_half
from export.remote.ssh import LoginRefused
from tests.support.loopback_sshd import LoopbackBox


@pytest.fixture(scope="module")
def paired(tmp_path_factory):
    """A box that its owner has paired; tests only ask it."""
    with LoopbackBox(tmp_path_factory.mktemp("box")) as box, pytest.MonkeyPatch.context() as patch:
        _be_the_owner(box, patch)
        assert main(["pair", box.host, *_places(box)]) == 0
        yield box


@pytest.fixture
def box(tmp_path, monkeypatch):
    """A box that nobody has paired yet."""
    with LoopbackBox(tmp_path) as box:
        _be_the_owner(box, monkeypatch)
        yield box


@pytest.fixture
def owner(paired, monkeypatch):
    """The owner of the paired box, at the workstation."""
    _be_the_owner(paired, monkeypatch)
    return paired


def _be_the_owner(box, patch):
    for name, value in box.environment.items():
        patch.setenv(name, value)


def _places(box):
    return ["--port", str(box.port), "--store", str(box.store)]


def key_of(box):
    return box.config / "switchboard" / "id_ed25519"


def contents(folder):
    """Everything in a folder, but for what a store keeps to itself and sshd writes."""
    return {
        str(path.relative_to(folder))
        for path in folder.rglob("*")
        if path.name not in (".lock", ".examining", "sshd.log") and not path.is_socket()
    }


# -- pairing --------------------------------------------------------------------------------


def test_pairing_says_what_it_does_and_that_it_works(box, capsys):
    assert main(["pair", box.host, *_places(box)]) == 0
    out = capsys.readouterr().out
    assert f"{key_of(box)}: made" in out
    assert "knows the key now: it runs /" in out
    assert "/switchboard receive, and nothing else" in out
    assert f"next: switchboard push {box.host} MODEL --port {box.port}" in out


def test_pairing_again_changes_nothing(box, capsys):
    main(["pair", box.host, *_places(box)])
    key, keys = key_of(box).read_bytes(), box.authorized_keys.read_bytes()
    assert main(["pair", box.host, *_places(box)]) == 0
    assert (key_of(box).read_bytes(), box.authorized_keys.read_bytes()) == (key, keys)
    out = capsys.readouterr().out
    assert "is there" in out
    assert "knew the key already" in out


def test_a_pairing_may_move_to_another_store(box, tmp_path):
    main(["pair", box.host, *_places(box)])
    elsewhere = tmp_path / "elsewhere"
    assert main(["pair", box.host, "--port", str(box.port), "--store", str(elsewhere)]) == 0
    lines = box.authorized_keys.read_text().splitlines()
    assert len(lines) == 2
    assert f'receive --store {elsewhere}" ssh-ed25519 ' in lines[1]


def test_the_owners_own_key_still_opens_a_shell(box):
    main(["pair", box.host, *_places(box)])
    done = box.ssh(box.host, "echo still here", identity=box.folder / "owner_key")
    assert done.stdout == b"still here\n"


def test_only_whoever_owns_the_files_may_read_them(box):
    main(["pair", box.host, *_places(box)])
    assert key_of(box).stat().st_mode & 0o077 == 0
    assert key_of(box).parent.stat().st_mode & 0o077 == 0
    assert box.authorized_keys.stat().st_mode & 0o077 == 0


def test_a_key_that_opens_a_shell_is_not_locked_out_of_it(box, capsys):
    before = box.authorized_keys.read_bytes()
    key = str(box.folder / "owner_key")
    assert main(["pair", box.host, *_places(box), "--identity", key]) == PairingError.exit_code
    assert "this key may do more there than push models" in capsys.readouterr().err
    assert box.authorized_keys.read_bytes() == before


def test_a_box_without_switchboard_is_named(box, capsys):
    status = main(["pair", box.host, "--port", str(box.port), "--program", "/nowhere/switchboard"])
    assert status == PairingError.exit_code
    assert "found no `switchboard` there" in capsys.readouterr().err
    assert len(box.authorized_keys.read_text().splitlines()) == 1


def test_a_store_that_cannot_be_written_is_named(box, capsys):
    status = main(["pair", box.host, "--port", str(box.port), "--store", "/proc/models"])
    assert status == PairingError.exit_code
    assert "may not write to /proc/models" in capsys.readouterr().err


@pytest.mark.parametrize("path", ["models", "/a b", '/a"', "/a'", "/a;id", "/$(id)", "/a\nb"])
@pytest.mark.parametrize("option", ["--store", "--program"])
def test_a_path_that_could_be_more_than_a_path_makes_no_key(
    option, path, capsys, monkeypatch, tmp_path
):
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path))
    assert main(["pair", "me@127.0.0.1", option, path]) == PairingError.exit_code
    assert "expected a path from / on" in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []


def test_an_owner_whose_login_is_refused_is_told(box, capsys):
    box.authorized_keys.write_text("")
    assert main(["pair", box.host, *_places(box)]) == LoginRefused.exit_code
    assert "Permission denied" in capsys.readouterr().err


def test_an_unknown_host_is_not_trusted_by_itself(box, capsys):
    (box.folder / "known_hosts").write_text("")
    status = main(["push", box.host, str(box.folder / "none.onnx")])
    assert status != 0
    status = main(["pair", box.host, *_places(box)])
    assert status == 43
    assert "this workstation does not know this host" in capsys.readouterr().err


def test_a_host_that_changed_its_key_is_not_trusted_either(box, capsys, tiny_model):
    main(["pair", box.host, *_places(box)])
    other = (box.folder / "owner_key.pub").read_text()
    (box.folder / "known_hosts").write_text(f"[127.0.0.1]:{box.port} {other}")
    assert main(["push", box.host, str(tiny_model), "--port", str(box.port)]) == 43
    err = capsys.readouterr().err
    assert "REMOTE HOST IDENTIFICATION HAS CHANGED" in err
    assert "ssh-keygen -R 127.0.0.1" in err


# -- keys -----------------------------------------------------------------------------------


def test_a_key_is_made_once(tmp_path):
    key = tmp_path / "deep" / "id_ed25519"
    assert make_identity(key)
    before = key.read_bytes()
    assert not make_identity(key)
    assert key.read_bytes() == before


def test_the_public_half_is_found_beside_the_key_or_computed(tmp_path):
    key = tmp_path / "id_ed25519"
    make_identity(key)
    half = public_half(key)
    assert half.startswith("ssh-ed25519 AAAA")
    assert half.endswith(" switchboard-push")
    key.with_name("id_ed25519.pub").unlink()
    assert public_half(key) == half


def test_a_public_half_cannot_bring_a_line_of_its_own(tmp_path):
    key = tmp_path / "id_ed25519"
    make_identity(key)
    key.with_name("id_ed25519.pub").write_text('command="sh" ssh-ed25519 AAAA\nssh-rsa BBBB x\n')
    with pytest.raises(PairingError, match="expected a public key"):
        public_half(key)


def test_a_key_that_is_none_is_refused(tmp_path):
    (tmp_path / "key").write_text("no key\n")
    with pytest.raises(PairingError, match=r"ssh-keygen: .*see --identity"):
        public_half(tmp_path / "key")


def test_a_key_that_cannot_be_made_is_refused(tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(PairingError, match=r"cannot be made \((File exists|Not a directory)\)"):
        make_identity(tmp_path / "file" / "id_ed25519")


# -- what the paired key can do -------------------------------------------------------------


def test_it_can_push_a_model(owner, tiny_model, capsys):
    assert main(["push", owner.host, str(tiny_model), "--port", str(owner.port)]) == 0
    assert ModelStore(owner.store).active().read_bytes() == tiny_model.read_bytes()
    assert "plays 'Tiny test model'" in capsys.readouterr().out


# -- and what it cannot ---------------------------------------------------------------------


def attempt(box, *arguments, **options):
    """Do something with the paired key; what came of it, and what is new on the box."""
    before = contents(box.folder)
    done = box.ssh(*arguments, identity=key_of(box), **options)
    return done, contents(box.folder) - before


def answers_as_receive(done):
    """Whether what answered was `receive`, which heard no model."""
    return b'"event": "ready"' in done.stdout and b'"event": "verdict"' in done.stdout


def test_it_cannot_open_a_shell(owner):
    done, new = attempt(owner, owner.host, input=b"echo hello from a shell; exit 0\n")
    assert b"hello from a shell" not in done.stdout
    assert answers_as_receive(done)
    assert new == set()


@pytest.mark.parametrize("command", ["id", "sh -c id", "switchboard models list", "/bin/sh", ""])
def test_it_cannot_run_another_command(owner, command):
    done, new = attempt(owner, owner.host, command)
    assert answers_as_receive(done)
    assert b"uid=" not in done.stdout
    assert new == set()


def test_it_cannot_run_a_command_that_writes_a_file(owner):
    target = owner.folder / "written"
    attempt(owner, owner.host, f"touch {target}")
    assert not target.exists()
    owned = box_as_owner(owner, f"touch {target}")
    assert owned.returncode == 0
    assert target.exists()
    target.unlink()


def box_as_owner(box, *command):
    """The same with the owner's key, to show that it is the pairing that forbids it."""
    return box.ssh(box.host, *command, identity=box.folder / "owner_key")


def test_it_gets_no_terminal(owner):
    done, _ = attempt(owner, "-tt", owner.host, "tty")
    assert b"/dev/pts/" not in done.stdout
    assert b"PTY allocation request failed" in done.stderr
    owned = owner.ssh("-tt", owner.host, "tty", identity=owner.folder / "owner_key")
    assert b"/dev/pts/" in owned.stdout


def forwards(box, identity):
    """Whether a port of the box can be reached through the login: that of sshd itself."""
    done = box.ssh("-W", f"127.0.0.1:{box.port}", box.host, identity=identity)
    return b"SSH-2.0-OpenSSH" in done.stdout


def test_it_forwards_no_port_from_here_to_there(owner):
    assert forwards(owner, owner.folder / "owner_key")
    assert not forwards(owner, key_of(owner))
    assert "administratively prohibited" in owner.log() or "refused" in owner.log()


def test_it_forwards_no_port_from_there_to_here(owner):
    remote = ["-o", "ExitOnForwardFailure=yes", "-R", f"0:127.0.0.1:{owner.port}"]
    owned = owner.ssh(*remote, owner.host, "true", identity=owner.folder / "owner_key")
    assert owned.returncode == 0
    done, _ = attempt(owner, *remote, owner.host)
    assert done.returncode == 255
    assert b"remote port forwarding failed" in done.stderr


def test_it_forwards_no_socket_and_no_agent(owner):
    listening = owner.folder / "listening"
    done, _ = attempt(
        owner, "-o", "ExitOnForwardFailure=yes", "-R", f"{listening}:127.0.0.1:1", owner.host
    )
    assert done.returncode == 255
    assert not listening.exists()
    done, _ = attempt(owner, "-A", owner.host, "env")
    assert b"SSH_AUTH_SOCK" not in done.stdout


@pytest.mark.parametrize("legacy", [[], ["-O"]], ids=["sftp", "rcp"])
def test_scp_copies_nothing_to_it(owner, tmp_path, legacy):
    source, target = tmp_path / "file", owner.folder / "copied"
    source.write_text("not a model")
    assert copy(owner, owner.folder / "owner_key", legacy, source, target).returncode == 0
    assert target.read_text() == "not a model"
    target.unlink()
    before = contents(owner.folder)
    done = copy(owner, key_of(owner), legacy, source, target)
    assert done.returncode != 0
    assert contents(owner.folder) == before


def test_scp_copies_nothing_from_it(owner, tmp_path):
    secret = owner.folder / "host_key"
    done = copy(owner, key_of(owner), [], f"{owner.host}:{secret}", tmp_path / "stolen")
    assert done.returncode != 0
    assert not (tmp_path / "stolen").exists()


def copy(box, identity, legacy, source, target):
    if ":" not in str(source):
        target = f"{box.host}:{target}"
    options = ["-o", "BatchMode=yes", "-o", "IdentitiesOnly=yes", "-i", str(identity)]
    return subprocess.run(
        [
            "scp",
            "-q",
            "-S",
            box.bin / "ssh",
            *legacy,
            *options,
            "-P",
            str(box.port),
            source,
            target,
        ],
        capture_output=True,
        check=False,
        timeout=60,
    )


def test_it_cannot_choose_where_a_model_goes(owner, tmp_path):
    target = owner.folder / "elsewhere"
    done, new = attempt(owner, owner.host, "switchboard", "receive", "--store", str(target))
    assert answers_as_receive(done)
    assert new == set()
    assert not target.exists()


def test_it_cannot_bring_an_environment(owner):
    store = owner.folder / "by_environment"
    environment = {**os.environ, "LC_STORE": str(store), "PYTHONPATH": str(store)}
    before = contents(owner.folder)
    done = owner.ssh(
        "-o", "SendEnv=LC_* PYTHON*", owner.host, identity=key_of(owner), env=environment
    )
    assert answers_as_receive(done)
    assert contents(owner.folder) == before


def test_sshd_itself_says_that_the_command_is_forced(owner):
    attempt(owner, owner.host, "id")
    forced = [line for line in owner.log().splitlines() if "forced-command (key-option)" in line]
    assert forced
    assert all("switchboard receive --store" in line for line in forced)


# -- the script, on boxes that this machine is not ------------------------------------------

SCRIPT = Path(__file__).parents[3] / "export" / "remote" / "pair.sh"
KEY = "ssh-ed25519 AAAAC3Nza+/= switchboard-push"


@pytest.fixture
def appliance(tmp_path):
    """A box with the service installed, made of folders; `sudo` and the like note what they do."""
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
    note = f'echo "$(basename "$0") $*" >>{tmp_path}/noted\n'
    make(programs / "sudo", note + 'shift; exec "$@"')
    make(programs / "setpriv", note + 'while [ "$1" != -- ]; do shift; done; shift; exec "$@"')
    make(programs / "usermod", note)
    make(programs / "mkdir", 'case "$*" in */var/lib/*) ;; *) exec /bin/mkdir "$@" ;; esac')
    make(programs / "test", "true")
    return tmp_path


def make(path, body):
    path.write_text(f"#!/bin/sh\n{body}\n")
    path.chmod(0o755)


def run_script(box, *arguments):
    text = SCRIPT.read_text().replace("/opt/switchboard", f"{box}/opt/switchboard")
    text = text.replace("as_account test -w", f"as_account {box}/bin/test -w")
    done = subprocess.run(
        ["sh", "-s", "--", *arguments],
        input=text,
        capture_output=True,
        text=True,
        check=True,
        env={"PATH": f"{box}/bin:/usr/bin:/bin", "HOME": str(box / "pi")},
    )
    assert done.stderr == ""
    return dict(line.split("=", 1) for line in done.stdout.splitlines())


def test_on_an_installed_box_the_key_goes_to_the_boxs_own_account(appliance):
    told = run_script(appliance, KEY, "", "")
    program = f"{appliance}/opt/switchboard/current/bin/switchboard"
    assert told["state"] == "new"
    assert (told["account"], told["program"]) == ("switchboard", program)
    line = (appliance / "state" / ".ssh" / "authorized_keys").read_text()
    assert line == f'restrict,command="{program} receive" {KEY}\n'
    assert not (appliance / "pi").exists()


def test_the_boxs_account_gets_a_shell_for_its_one_command(appliance):
    assert run_script(appliance, KEY, "", "")["shell"] == "/bin/sh"
    noted = (appliance / "noted").read_text()
    assert "usermod --shell /bin/sh switchboard" in noted
    assert "sudo -n usermod" in noted
    assert "setpriv --reuid switchboard --regid switchboard --init-groups -- " in noted


def test_an_owner_who_may_not_sudo_is_told(appliance):
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
def test_a_line_that_opens_more_than_a_pairing_is_left_alone_and_said(appliance, line):
    keys = appliance / "state" / ".ssh" / "authorized_keys"
    keys.parent.mkdir(parents=True)
    keys.write_text(line + "\n")
    taken = "restrict,command" not in line
    assert run_script(appliance, KEY, "", "")["state"] == ("taken" if taken else "new")
    assert (line in keys.read_text()) == taken


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can become another account")
@pytest.mark.parametrize("target", ["folder", "nothing"])
def test_root_makes_no_store_behind_a_link_of_another_account(tmp_path, target):
    """Paired as root with a store in another account's folder."""
    account = 64_123
    with tempfile.TemporaryDirectory(prefix="switchboard-") as name:
        box, theirs = Path(name), Path(name) / "theirs"
        box.chmod(0o755)
        secrets = box / "secrets"
        secrets.mkdir(mode=0o700)
        theirs.mkdir()
        os.chown(theirs, account, account)
        (theirs / "link").symlink_to(secrets if target == "folder" else box / "nothing")
        os.chown(theirs / "link", account, account, follow_symlinks=False)
        make(tmp_path / "switchboard", "true")
        words = [KEY, str(tmp_path / "switchboard")]
        environment = {"PATH": "/usr/sbin:/usr/bin:/sbin:/bin", "HOME": str(tmp_path / "root")}

        def pair(store):
            done = subprocess.run(
                ["sh", "-s", "--", *words, str(store)],
                input=SCRIPT.read_text(),
                capture_output=True,
                text=True,
                check=True,
                env=environment,
            )
            return dict(line.split("=", 1) for line in done.stdout.splitlines())["state"]

        assert pair(theirs / "link" / "models") == "nostore"
        assert list(secrets.iterdir()) == []
        assert not (box / "nothing").exists()
        assert pair(theirs / "deep" / "models") == "new"
        assert {(theirs / "deep" / place).stat().st_uid for place in (".", "models")} == {account}
