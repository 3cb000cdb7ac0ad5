"""Hosts, the command line of ssh, and the errors that its messages become."""

import codecs
import subprocess

import pytest

from device.errors import MissingExtra, SwitchboardError
from export.remote.ssh import (
    BadHost,
    ConnectionLost,
    Host,
    HostKeyRefused,
    HostUnreachable,
    Line,
    LoginRefused,
    NoSwitchboard,
    explain,
    read_hosts,
)

STUDIO = Host("switchboard", "studio.local")


@pytest.mark.parametrize(
    ("text", "user", "name"),
    [
        ("studio", None, "studio"),
        ("studio.local", None, "studio.local"),
        ("me@192.168.1.20", "me", "192.168.1.20"),
        ("fe80::1%eth0", None, "fe80::1%eth0"),
        ("a-b_c@Studio-2.local", "a-b_c", "Studio-2.local"),
        ("::1", None, "::1"),
        ("[::1]", None, "::1"),
        ("user@::1", "user", "::1"),
        ("user@[::1]", "user", "::1"),
        ("[fe80::1%eth0]", None, "fe80::1%eth0"),
        ("pi@2001:db8::1.2.3.4", "pi", "2001:db8::1.2.3.4"),
    ],
)
def test_a_host_is_a_name_or_an_address_with_or_without_a_user(text, user, name):
    assert Host.parse(text) == Host(user, name)


@pytest.mark.parametrize(
    "text",
    [
        "-oProxyCommand=touch /tmp/x",
        "-v",
        "me@-oProxyCommand=x",
        "-l@studio",
        "",
        "@studio",
        "me@",
        "a b",
        "studio;id",
        "studio\n-v",
        "$(id)",
        "`id`",
        "me@you@studio",
        "../studio",
        "ssh://studio",
        "stüdio",
        "[studio]",
        "[::1",
        "::1]",
        "[192.168.1.20]",
        "1:2:3",
        ":::1",
        "::1%",
        "fe80::1%-v",
        "a:1" * 3000,
    ],
)
def test_what_could_be_an_option_or_a_command_is_no_host(text):
    with pytest.raises(BadHost, match="expected a name or an address") as refusal:
        Host.parse(text)
    assert "\n" not in str(refusal.value)


@pytest.mark.parametrize("host", ["studio", "pi@studio.local", "192.168.1.20", "[::1]", "u@[::1]"])
def test_a_host_with_a_port_in_it_is_refused_with_the_option_named(host):
    with pytest.raises(BadHost, match=r"found a port in it, .*; use `--port 2222`"):
        Host.parse(f"{host}:2222")


def test_without_a_user_the_account_of_an_installed_device_is_used():
    assert Host.parse("studio").with_default_account() == Host("switchboard", "studio")
    assert Host.parse("me@studio").with_default_account() == Host("me", "studio")


def test_the_default_account_is_not_printed():
    assert str(Host("switchboard", "studio")) == str(Host(None, "studio")) == "studio"
    assert str(Host("me", "studio")) == "me@studio"


def test_the_host_is_the_first_word_that_is_no_option():
    command = Line(port=2222).command(STUDIO, "switchboard", "receive")
    assert command[command.index("--") :] == ["--", "studio.local", "switchboard", "receive"]
    assert command[0] == "ssh"
    assert command[command.index("-p") + 1] == "2222"
    assert command[command.index("-l") + 1] == "switchboard"
    assert "BatchMode=yes" in command
    assert "ConnectTimeout=10" in command


def test_a_key_that_is_given_is_the_only_one_used(tmp_path):
    command = Line(identity=tmp_path / "key").command(STUDIO)
    assert command[command.index("-i") + 1] == str(tmp_path / "key")
    # An agent's keys and a connection that is open already would log in as the owner.
    assert {"IdentitiesOnly=yes", "ControlPath=none"} <= set(command)
    assert "IdentitiesOnly=yes" not in Line().command(STUDIO)


def test_ssh_may_ask_the_owner_where_it_is_not_in_batch_mode():
    assert "BatchMode=no" in Line(batch=False).command(STUDIO)


def test_a_file_of_hosts_has_one_a_line_and_remarks(tmp_path):
    path = tmp_path / "devices.txt"
    path.write_text("# the studio\nstudio.local\n\n  me@kitchen # the small one\n")
    assert read_hosts(path) == [Host(None, "studio.local"), Host("me", "kitchen")]
    path.write_bytes(codecs.BOM_UTF8 + path.read_bytes().replace(b"\n", b"\r\n"))
    assert read_hosts(path) == [Host(None, "studio.local"), Host("me", "kitchen")]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (None, r"cannot be read \(No such file or directory\)"),
        (b"\xff\xfe", r"cannot be read \(not UTF-8\)"),
        (b"studio\n-oProxyCommand=x\n", "host '-oProxyCommand=x': expected a name"),
    ],
)
def test_a_file_that_holds_no_hosts_is_refused(tmp_path, content, message):
    path = tmp_path / "devices.txt"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(BadHost, match=message):
        read_hosts(path)


CHANGED = """\
@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@
@    WARNING: REMOTE HOST IDENTIFICATION HAS CHANGED!     @
@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@
IT IS POSSIBLE THAT SOMEONE IS DOING SOMETHING NASTY!
Offending ED25519 key in /home/me/.ssh/known_hosts:3
Host key for studio.local has changed and you have requested strict checking.
Host key verification failed.
"""

# Messages of OpenSSH, with the status it ends with.
MESSAGES = [
    (
        255,
        "ssh: Could not resolve hostname studio.local: Name or service not known",
        HostUnreachable,
        "found 'Could not resolve hostname .*check its name",
    ),
    (
        255,
        "ssh: connect to host studio.local port 22: Connection refused",
        HostUnreachable,
        "Connection refused'; check that it is switched on",
    ),
    (
        255,
        "ssh: connect to host studio.local port 22: Connection timed out",
        HostUnreachable,
        "Connection timed out'; check that it is switched on",
    ),
    (
        255,
        "ssh: connect to host studio.local port 22: No route to host",
        HostUnreachable,
        "No route to host'; check that it is switched on",
    ),
    (
        255,
        "Connection timed out during banner exchange\nConnection to studio.local port 22 timed out",
        HostUnreachable,
        "timed out during banner exchange'; check that it is",
    ),
    (
        255,
        "kex_exchange_identification: Connection closed by remote host",
        HostUnreachable,
        "kex_exchange_identification: .*; check that it is",
    ),
    (
        255,
        "Warning: Permanently added 'studio.local'\n"
        "switchboard@studio.local: Permission denied (publickey,password).",
        LoginRefused,
        r"found 'Permission denied \(publickey,password\)\.'; .*switchboard pair OWNER@studio\.",
    ),
    (
        255,
        "Received disconnect from 10.0.0.1 port 22:2: Too many authentication failures",
        LoginRefused,
        "Too many authentication failures'; this key is not paired with it yet",
    ),
    (
        255,
        "No ED25519 host key is known for studio.local and you have requested strict checking.\n"
        "Host key verification failed.",
        HostKeyRefused,
        "Host key verification failed.'; the host's key is not known on this workstation",
    ),
    (
        255,
        CHANGED,
        HostKeyRefused,
        "found 'WARNING: REMOTE HOST IDENTIFICATION HAS CHANGED!'; .*ssh-keygen -R studio.local",
    ),
    (127, "bash: line 1: switchboard: command not found", NoSwitchboard, "install it there"),
    (127, "sh: 1: /opt/switchboard/bin/switchboard: not found", NoSwitchboard, "install it there"),
    (
        2,
        "Usage: switchboard [OPTIONS] COMMAND\nError: No such command 'receive'.",
        NoSwitchboard,
        "No such command 'receive'.*; install it there, or update it",
    ),
    (
        1,
        "This account is currently not available.",
        NoSwitchboard,
        "found 'This account is currently not available.', expected `switchboard receive`",
    ),
    (0, "", NoSwitchboard, "found 'ssh ended with status 0', expected `switchboard receive`"),
    (
        255,
        "Timeout, server studio.local not responding.",
        ConnectionLost,
        "not responding.'; the device plays on as before; push again",
    ),
    (
        255,
        "client_loop: send disconnect: Broken pipe",
        ConnectionLost,
        "Broken pipe'; the device plays on",
    ),
    (
        255,
        "Connection to studio.local closed by remote host.",
        ConnectionLost,
        "closed by remote host.'; the device plays on",
    ),
    (255, "some unknown message", ConnectionLost, "unknown message'; the device plays"),
    (255, "", ConnectionLost, "found 'ssh ended with status 255'; the device plays on"),
]


@pytest.mark.parametrize(
    ("status", "output", "error", "message"), MESSAGES, ids=lambda v: str(v)[:40]
)
def test_every_message_of_ssh_becomes_one_line_that_says_what_to_do(status, output, error, message):
    explained = explain(STUDIO, status, output)
    assert type(explained) is error
    with pytest.raises(SwitchboardError, match=f"^studio.local: .*{message}"):
        raise explained
    assert "\n" not in str(explained)
    assert len(str(explained)) < 400


def test_control_characters_of_a_host_are_removed():
    assert str(explain(STUDIO, 1, "\x1b[2J\x1b]0;gone\x07 all is well\r\n")).isprintable()


def test_a_machine_without_ssh_says_what_to_install(monkeypatch, tmp_path):
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(MissingExtra, match=r"needs ssh, .*apt install openssh-client"):
        Line().start(STUDIO, "switchboard", "receive", stderr=subprocess.DEVNULL)
