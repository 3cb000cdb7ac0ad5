"""The box as an emulated machine: a kernel of its own, with GPIO lines and a sound card.

Every instruction is translated (never KVM: where it is offered and does not work, the guest hangs),
so that content counts here, and time does not.
"""

import signal
import socket
from contextlib import ExitStack
from pathlib import Path

from device.closing import Closing
from tests.rehearsal.shell import Failed, run, running, wait_until

BOOT_SECONDS = 400
IMAGE_BYTES = 3 * 2**30


class Guest(Closing):
    """A disk image, booted, and reached by ssh as root.

    Parameters
    ----------
    tree : Path
        Kernel and initramfs come from here, as from a boot partition.
    disk : Path
        A raw image. It is written into, and pulling the plug loses what a real machine would lose.
    key : Path
        A private key that root's authorized_keys knows.
    """

    def __init__(self, tree: Path, disk: Path, key: Path, *, log: Path) -> None:
        self.port = free_port()
        self.ssh = _ssh(key, self.port)
        with ExitStack() as stack:
            qemu = running(*_qemu(tree, disk, self.port), log=log, ending=signal.SIGKILL)
            self._emulator = stack.enter_context(qemu)
            wait_until(
                self._answers, "the guest's ssh", timeout_seconds=BOOT_SECONDS, every_seconds=2
            )
            self._stack = stack.pop_all()

    def run(self, *command: str, timeout_seconds: float = 120, stdin: str | None = None) -> str:
        """What a shell command prints in there, as root."""
        return run(*self.ssh, *command, timeout_seconds=timeout_seconds, stdin=stdin)

    def put(self, folder: Path, there: str) -> None:
        """Copy what is in a folder into one of the guest's."""
        unpack = f"mkdir -p {there} && tar --extract --no-same-owner --directory={there}"
        pipe = f"tar --create --directory={folder} . | {' '.join(self.ssh)} '{unpack}'"
        run("sh", "-c", pipe, timeout_seconds=300)

    def close(self) -> None:
        """Pull the plug; may be called again."""
        self._stack.close()

    def _answers(self) -> bool:
        if self._emulator.poll() is not None:
            raise Failed(f"the emulator ended with {self._emulator.returncode}")
        try:
            # Another answer than "running" is an answer too.
            self.run("systemctl is-system-running --wait || true", timeout_seconds=BOOT_SECONDS)
        except Failed:
            return False
        return True


def make_disk(tree: Path, disk: Path) -> None:
    """Write an image of a root tree."""
    with disk.open("wb") as file:
        file.truncate(IMAGE_BYTES)
    run("mkfs.ext4", "-q", "-F", "-d", tree, disk, timeout_seconds=600)


def free_port() -> int:
    """One that nobody listens on at 127.0.0.1 now."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        port: int = server.getsockname()[1]
        return port


def _ssh(key: Path, port: int) -> list[str]:
    options = {
        "IdentitiesOnly": "yes",
        "StrictHostKeyChecking": "no",
        "UserKnownHostsFile": "/dev/null",
        "LogLevel": "ERROR",
        "ConnectTimeout": "10",
        "ServerAliveInterval": "10",
    }
    words = [f"-o{name}={value}" for name, value in options.items()]
    return ["ssh", f"-i{key}", f"-p{port}", *words, "root@127.0.0.1"]


def _qemu(tree: Path, disk: Path, port: int) -> list[str]:
    (kernel,) = tree.glob("boot/vmlinuz-*")
    (initramfs,) = tree.glob("boot/initrd.img-*")
    return [
        "qemu-system-x86_64",
        "-machine", "q35",
        "-accel", "tcg,thread=multi",
        "-cpu", "max",
        "-smp", "2",
        "-m", "1024",
        "-nodefaults",
        "-no-user-config",
        "-display", "none",
        "-no-reboot",
        "-kernel", str(kernel),
        "-initrd", str(initramfs),
        "-append", "root=/dev/vda rw console=ttyS0 quiet net.ifnames=0 mitigations=off panic=-1",
        "-drive", f"if=none,id=disk,file={disk},format=raw,cache=writeback",
        "-device", "virtio-blk-pci,drive=disk",
        # The only way in or out is ssh from this machine.
        "-netdev", f"user,id=net,restrict=on,hostfwd=tcp:127.0.0.1:{port}-:22",
        "-device", "virtio-net-pci,netdev=net,romfile=",
        "-device", "virtio-rng-pci",
        "-serial", "stdio",
    ]  # fmt: skip
