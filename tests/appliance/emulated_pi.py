"""An image of an SD card in an emulated 64-bit machine; its serial console is recorded.

The emulator loads kernel, initramfs and device tree from the image's boot partition, as a Pi's
firmware would. What firmware adds to the device tree is added here: the board's revision, by which
gpiozero finds the pins, and its serial number.
"""

import base64
import re
import signal
import time
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

from device.closeable import Closeable
from tests.appliance.shell import Failed, run, running, wait_until

# Where genimage.cfg puts the boot partition.
BOOT_OFFSET = 4 * 2**20
# Everything takes a hundred times as long, so the limits of the units are raised, by a credential
# on the kernel's command line, which is read after box.conf. The image itself is not changed.
# The model needs more than such processors have: without priority and with a small weight, it
# leaves room for logins, which else time out.
PATIENCE = """\
[Service]
TimeoutStartSec=1800
WatchdogSec=600
LimitRTPRIO=0
Nice=0
CPUWeight=10
"""
COLOURS = re.compile(r"\x1b\[[0-9;]*[A-Za-z]")
SERVICES = ("switchboard.service", "switchboard-fallback.service")


@dataclass(frozen=True)
class Board:
    """A machine of the emulator.

    Attributes
    ----------
    tree : str
        The device tree's name in the image; empty for the emulator's own.
    console : str
        Of the kernel.
    """

    machine: str
    tree: str
    revision: str
    console: str
    options: tuple[str, ...]


VIRT = Board(
    machine="virt",
    tree="",
    revision="c03111",
    console="ttyAMA0",
    options=(
        *("-cpu", "cortex-a72", "-smp", "2", "-m", "1024"),
        *("-device", "virtio-blk-pci,drive=card"),
        *("-device", "virtio-rng-pci"),
        *("-device", "virtio-net-pci,netdev=net,romfile="),
    ),
)
PI_3 = Board(
    machine="raspi3b",
    tree="bcm2837-rpi-3-b.dtb",
    revision="a02082",
    console="ttyS1,115200",
    options=("-device", "usb-net,netdev=net"),
)


class EmulatedPi(Closeable):
    """A card in a machine, switched on.

    Parameters
    ----------
    card : Path
        A copy of the image; it is written to.
    folder : Path
        Kernel, initramfs, device tree and the console's record are put here.
    port : int
        At 127.0.0.1, leads to the machine's ssh.
    """

    def __init__(self, board: Board, card: Path, folder: Path, port: int) -> None:
        self.console_log = folder / "console"
        # What an earlier boot showed is no witness of this one; the emulator begins after a while.
        self.console_log.unlink(missing_ok=True)
        self._began = time.monotonic()
        words = _qemu(board, card, folder, port, self.console_log)
        with ExitStack() as stack:
            # Killed: what the machine has not flushed is lost, as when a plug is pulled.
            qemu = running(*words, log=folder / "qemu.log", ending=signal.SIGKILL)
            self._emulator = stack.enter_context(qemu)
            self._stack = stack.pop_all()

    def console(self) -> str:
        """What the serial console showed since power-on, without its colours."""
        if not self.console_log.exists():
            return ""
        return without_colours(self.console_log.read_text(errors="replace"))

    def shows(self, text: str, timeout_seconds: float) -> float:
        """Wait for a text on the console; return the seconds since power-on."""

        def found() -> bool:
            if self._emulator.poll() is not None:
                raise Failed(f"the emulator ended: {self.console()[-2000:]}")
            return text in self.console()

        wait_until(
            found, f"{text!r} on the console", timeout_seconds=timeout_seconds, every_seconds=1
        )
        return time.monotonic() - self._began

    def close(self) -> None:
        """Pull the plug; may be called again."""
        self._stack.close()


def without_colours(text: str) -> str:
    """A console's text as it can be searched: systemd sets the names of units in bold."""
    return COLOURS.sub("", text)


def put(card: Path, name: str, text: str) -> None:
    """Write a file to the boot partition, as a laptop would."""
    run("mcopy", "-o", "-i", f"{card}@@{BOOT_OFFSET}", "-", f"::{name}", stdin=text)


def _qemu(board: Board, card: Path, folder: Path, port: int, console: Path) -> list[str]:
    boot = folder / "boot"
    boot.mkdir(exist_ok=True)
    run("mcopy", "-n", "-o", "-s", "-i", f"{card}@@{BOOT_OFFSET}", "::*", boot, timeout_seconds=120)
    (kernel,) = boot.glob("vmlinuz-*")
    (initramfs,) = boot.glob("initrd.img-*")
    drop_in = base64.b64encode(PATIENCE.encode()).decode()
    line = [
        (boot / "cmdline.txt").read_text().strip().replace("quiet ", ""),
        f"console={board.console} systemd.show_status=yes modules_load=snd-aloop mitigations=off",
        "systemd.default_device_timeout_sec=1800 systemd.default_timeout_start_sec=1800",
        *(
            f"systemd.set_credential_binary=systemd.unit-dropin.{name}~zz-emulator:{drop_in}"
            for name in SERVICES
        ),
    ]
    machine = ["qemu-system-aarch64", "-machine", board.machine, *board.options]
    return [
        *machine,
        *("-accel", "tcg,thread=multi", "-display", "none", "-no-reboot", "-monitor", "none"),
        *("-kernel", str(kernel), "-initrd", str(initramfs), "-append", " ".join(line)),
        *("-dtb", str(_device_tree(board, machine, boot))),
        *("-drive", f"if={'none,id=card' if board is VIRT else 'sd'},file={card},format=raw"),
        *("-netdev", f"user,id=net,restrict=on,hostfwd=tcp:127.0.0.1:{port}-:22"),
        # A Pi 3 has its console on the second one.
        *(["-serial", "null"] if board is PI_3 else []),
        *("-serial", f"file:{console}"),
    ]


def _device_tree(board: Board, machine: list[str], boot: Path) -> Path:
    tree = boot / "board.dtb"
    if board.tree:
        tree.write_bytes((boot / board.tree).read_bytes())
    else:
        words = [*machine[:3], *board.options[:6]]
        words[2] += f",dumpdtb={tree}"
        run(*words, "-nodefaults", "-display", "none")
    run("fdtput", "-c", tree, "/system")
    run("fdtput", "-t", "x", tree, "/system", "linux,revision", board.revision)
    run("fdtput", "-t", "s", tree, "/", "serial-number", "10000000deadbeef")
    return tree
