"""Bundles for `switchboard update`, and keys that sign them."""

import io
import platform
import subprocess
import sys
import tarfile

from device.updates.software.signature import NAMESPACE
from export.remote.update_bundle import make_bundle

PYTHON = f"{sys.version_info.major}.{sys.version_info.minor}"


def make_key(folder, name="key"):
    """A private key; the public one is beside it."""
    folder.mkdir(parents=True, exist_ok=True)
    words = ["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", name, "-f", str(folder / name)]
    subprocess.run(words, check=True)
    return folder / name


def wheelhouse(folder, version="1.0", installer="exit 0\n", *, python=PYTHON, machine=None):
    """A folder as `make wheelhouse` fills one, with an installer of the test's."""
    folder = folder / f"wheelhouse-{python}-{machine or platform.machine()}"
    (folder / "systemd/switchboard.service.d").mkdir(parents=True)
    (folder / f"lofi_switchboard-{version}-py3-none-any.whl").write_bytes(b"a wheel")
    (folder / "systemd/install.sh").write_text(installer, encoding="utf-8")
    (folder / "systemd/switchboard.service.d/box.conf").write_text("", encoding="utf-8")
    return folder


def bundle(folder, version="1.0", **options):
    """The bundle of such a wheelhouse, unsigned."""
    return make_bundle(wheelhouse(folder, version, **options), folder / "bundle.tar")[0]


def rewritten(path, *, change=lambda _member: None, more=()):
    """Write a bundle anew: members changed in place (True: left out), and others added."""
    with tarfile.open(path) as tar:
        members = [(member, tar.extractfile(member).read()) for member in tar]
    with tarfile.open(path, "w", format=tarfile.USTAR_FORMAT) as tar:
        for member, content in members:
            if not change(member):
                is_file = member.type == tarfile.REGTYPE
                tar.addfile(member, io.BytesIO(content[: member.size]) if is_file else None)
        for member in more:
            tar.addfile(member, io.BytesIO(b"x" * member.size))


def sign(path, key, namespace=NAMESPACE):
    """Sign a file; the signature's path."""
    signature = path.with_name(f"{path.name}.sig")
    signature.unlink(missing_ok=True)
    words = ["ssh-keygen", "-q", "-Y", "sign", "-f", str(key), "-n", namespace, str(path)]
    subprocess.run(words, check=True, capture_output=True)
    return signature
