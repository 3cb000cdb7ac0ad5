"""The device as an emulated machine: a kernel of its own, with GPIO lines and a sound card.

Every instruction is translated (never KVM: where it is offered and does not work, the guest hangs),
so that results are tested here, and times are not.
"""

import shlex
import signal
import socket
from contextlib import ExitStack
from pathlib import Path

from device.closeable import Closeable
from tests.appliance.login import Login
from tests.appliance.shell import Failed, run, running, wait_until

BOOT_SECONDS = 900
IMAGE_BYTES = 3 * 2**30


class Guest(Closeable):
    """A disk image, booted.

    Parameters
    ----------
    tree : Path
        Kernel and initramfs come from here, as from a boot partition.
    disk : Path
        A raw image. It is written to, and pulling the plug loses what a real machine would lose.
    login : Login
        To `port` at 127.0.0.1.
    """

    def __init__(self, tree: Path, disk: Path, login: Login, port: int, *, log: Path) -> None:
        self._login = login
        with ExitStack() as stack:
            qemu = running(*_qemu(tree, disk, port), log=log, ending=signal.SIGKILL)
            self._emulator = stack.enter_context(qemu)
            wait_until(self._is_up, "a booted guest", timeout_seconds=BOOT_SECONDS, every_seconds=2)
            self._stack = stack.pop_all()

    def run(
        self, *command: str | Path, timeout_seconds: float = 300, stdin: str | None = None
    ) -> str:
        """Output of a command in the guest, as root."""
        remote = shlex.join(map(str, command))
        return run(*self._login.ssh, remote, timeout_seconds=timeout_seconds, stdin=stdin)

    def close(self) -> None:
        """Pull the plug; may be called again."""
        self._stack.close()

    def _is_up(self) -> bool:
        if self._emulator.poll() is not None:
            raise Failed(f"the emulator ended with {self._emulator.returncode}")
        try:
            # Failed units are for the tests to report.
            self.run("sh", "-c", "systemctl is-system-running --wait || true")
        except Failed:
            return False
        return True


def make_disk(tree: Path, disk: Path) -> None:
    """Write an image of a root tree."""
    with disk.open("wb") as file:
        file.truncate(IMAGE_BYTES)
    run("mkfs.ext4", "-q", "-F", "-d", tree, disk, timeout_seconds=600)


def free_port() -> int:
    """A port at 127.0.0.1 on which no process listens now."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        port: int = server.getsockname()[1]
        return port


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
