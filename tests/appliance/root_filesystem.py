"""Root trees of Debian systems: built once, kept under a name that identifies their contents.

A tree that was built is not written to: `writable_copy` is a copy whose changes are discarded.
"""

import hashlib
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import astuple, dataclass, replace
from pathlib import Path

from tests.appliance.shell import mounted, run

CACHE = Path(
    os.environ.get("SWITCHBOARD_REHEARSAL") or "~/.cache/switchboard-rehearsal"
).expanduser()

_HERE = Path(__file__).parent
_NO_DOCUMENTS = ("man", "doc", "locale", "info")


@dataclass(frozen=True)
class Tree:
    """What a root tree is made of.

    Attributes
    ----------
    variant : str
        Of mmdebstrap: ``minbase`` installs; ``extract`` only unpacks, which is fast for a foreign
        machine: no script of a package runs under emulation.
    early_hooks, hooks : tuple of str
        Shell before the chosen packages are installed, and after; ``$1`` is the root.
    """

    name: str
    suite: str
    arch: str
    variant: str
    packages: tuple[str, ...]
    early_hooks: tuple[str, ...] = ()
    hooks: tuple[str, ...] = ()

    @property
    def path(self) -> Path:
        """Where it is or will be; another recipe has another path."""
        recipe = hashlib.sha256(repr(astuple(self)).encode()).hexdigest()[:10]
        return CACHE / f"{self.name}-{recipe}"

    def built(self, *, timeout_seconds: float) -> Path:
        """Build it unless it is there."""
        if not self.path.is_dir():
            CACHE.mkdir(parents=True, exist_ok=True)
            for old in CACHE.glob(f"{self.name}-*"):
                shutil.rmtree(old)
            part = self.path.with_suffix(".part")
            run(*self._command(part), stdin=_sources(self.suite), timeout_seconds=timeout_seconds)
            # The sources of packages are this machine's.
            (part / "etc/apt/sources.list").unlink(missing_ok=True)
            part.rename(self.path)
        return self.path

    def _command(self, target: Path) -> list[str]:
        return [
            "mmdebstrap",
            "--quiet",
            "--mode=root",
            # Registered by `arm64_programs`, which it does not detect.
            "--skip=check/qemu",
            f"--architectures={self.arch}",
            f"--variant={self.variant}",
            f"--include={','.join(self.packages)}",
            '--aptopt=APT::Install-Recommends "false"',
            *(f"--dpkgopt=path-exclude=/usr/share/{folder}/*" for folder in _NO_DOCUMENTS),
            *(["--hook-dir=/usr/share/mmdebstrap/hooks/merged-usr"] * (self.variant == "extract")),
            *(f"--essential-hook={script}" for script in self.early_hooks),
            *(f"--customize-hook={script}" for script in self.hooks),
            self.suite,
            str(target),
            "-",
        ]


def _sources(suite: str) -> str:
    """This machine's own sources of Debian packages, for another release."""
    here = run("sh", "-c", '. /etc/os-release; echo "$VERSION_CODENAME"').strip()
    fields = "$(REPO_URI) $(RELEASE) $(COMPONENT)"
    targets = run("apt-get", "indextargets", "--format", fields, "Created-By: Packages")
    lines = []
    for target in sorted(set(targets.splitlines())):
        address, release, component = target.split()
        if release in (here, f"{here}-updates", f"{here}-security") and component == "main":
            lines.append(f"deb {address} {release.replace(here, suite)} {component}\n")
    return "".join(lines)


@contextmanager
def writable_copy(tree: Path, folder: Path) -> Iterator[Path]:
    """An overlay of a tree; what is written to it goes to `folder`."""
    changes, work, merged = (folder / name for name in ("changes", "work", "merged"))
    for layer in (changes, work, merged):
        layer.mkdir(parents=True)
    layers = f"lowerdir={tree},upperdir={changes},workdir={work}"
    with mounted("overlay", merged, "-t", "overlay", "-o", layers):
        yield merged


def run_in(root: Path, *command: str | Path, timeout_seconds: float) -> str:
    """Output of a command with a tree as its root, and without settings of this machine."""
    clean = ("env", "--ignore-environment", "PATH=/usr/sbin:/usr/bin", "HOME=/root")
    (root / "proc").mkdir(exist_ok=True)
    with mounted("/proc", root / "proc", "--bind"):
        return run("chroot", root, *clean, *command, timeout_seconds=timeout_seconds)


DEVICE = Tree(
    name="box",
    suite="bookworm",
    arch="amd64",
    variant="minbase",
    packages=(
        "systemd-sysv",
        "dbus",
        "libasound2-plugins",
        "libportaudio2",
        "openssh-server",
        "procps",
        "iproute2",
        "python3-venv",
    ),
    # As Raspberry Pi OS has it.
    hooks=('chroot "$1" groupadd --system gpio',),
)


def foreign(suite: str) -> Tree:
    """The packages of an arm64 system that installer and instrument need, unpacked."""
    return Tree(
        name=f"arm64-{suite}",
        suite=suite,
        arch="arm64",
        variant="extract",
        packages=(
            "base-passwd",
            "ca-certificates",
            "coreutils",
            "dash",
            "findutils",
            "grep",
            "libc-bin",
            "libgomp1",
            "libportaudio2",
            "passwd",
            "python3",
            "sed",
        ),
    )


GUEST = replace(
    DEVICE,
    name="guest",
    packages=(
        *DEVICE.packages,
        "alsa-utils",
        "initramfs-tools",
        "linux-image-amd64",
        "lz4",
        "udev",
    ),
    # A plain Debian: group and rights of the pins are the installer's to make.
    hooks=((_HERE / "gpio_sim.sh").read_text(),),
    early_hooks=((_HERE / "initramfs.sh").read_text(),),
)
