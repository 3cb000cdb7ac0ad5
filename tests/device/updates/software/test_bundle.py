"""Bundles: what is written is read again, and everything else is refused without a file."""

import hashlib
import json
import os
import tarfile

import pytest

from device.updates.software import bundle as bundles
from device.updates.software.bundle import Manifest, UpdateRefused, unpack
from tests.support.update_bundles import bundle, rewritten


def member(name, kind=tarfile.REGTYPE, n_bytes=0, target=""):
    info = tarfile.TarInfo(name)
    info.type, info.size, info.linkname = kind, n_bytes, target
    return info


def outside(folder):
    """All that is there but the bundle and what it was made of."""
    return {str(p.relative_to(folder)) for p in folder.rglob("*") if "wheelhouse" not in str(p)} - {
        "bundle.tar"
    }


def manifest(**changes):
    digest = "0" * 64
    content = {
        "format": 1,
        "version": "1.0",
        "python": "3.11",
        "machine": "aarch64",
        "files": {
            "lofi_switchboard-1.0-py3-none-any.whl": {"bytes": 1, "sha256": digest},
            "systemd/install.sh": {"bytes": 1, "sha256": digest},
        },
    }
    content.update(changes)
    return json.dumps(content).encode()


def files(**more):
    return {**json.loads(manifest())["files"], **more}


def test_a_bundle_is_unpacked_as_it_was_packed(tmp_path):
    path = bundle(tmp_path)
    found = unpack(path, tmp_path / "out")
    source = next(tmp_path.glob("wheelhouse-*"))
    for name, (n_bytes, digest) in found.files.items():
        content = (tmp_path / "out" / name).read_bytes()
        assert content == (source / name).read_bytes()
        assert (n_bytes, digest) == (len(content), hashlib.sha256(content).hexdigest())
    assert len(found.files) == 3
    # It is a script of root's, and others may look at it.
    assert os.access(tmp_path / "out/systemd/install.sh", os.X_OK)


def test_the_same_wheelhouse_gives_the_same_bytes(tmp_path):
    assert bundle(tmp_path / "a").read_bytes() == bundle(tmp_path / "b").read_bytes()


@pytest.mark.parametrize(
    "extra",
    [
        member("../escaped"),
        member("/tmp/escaped-from-a-bundle"),
        member("systemd/../../escaped"),
        member("systemd/install.sh"),
        member("unknown.whl"),
        member("link", tarfile.SYMTYPE, target="/etc/passwd"),
        member("hard", tarfile.LNKTYPE, target="systemd/install.sh"),
        member("pipe", tarfile.FIFOTYPE),
        member("disk", tarfile.BLKTYPE),
        member("folder", tarfile.DIRTYPE),
        member("sparse", tarfile.GNUTYPE_SPARSE),
        member("--option"),
        member(""),
    ],
    ids=lambda info: f"{info.name} of type {info.type!r}",
)
def test_a_file_that_the_manifest_does_not_name_is_refused(tmp_path, extra):
    path = bundle(tmp_path)
    rewritten(path, more=[extra])
    with pytest.raises(UpdateRefused):
        unpack(path, tmp_path / "out")
    assert all(name.startswith("out") for name in outside(tmp_path))
    assert not [p for p in (tmp_path / "out").rglob("*") if p.is_symlink()]


@pytest.mark.parametrize("kind", [tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.FIFOTYPE])
def test_a_named_file_that_is_none_is_refused(tmp_path, kind):
    path = bundle(tmp_path)

    def change(info):
        if info.name == "systemd/install.sh":
            info.type, info.linkname, info.size = kind, "/etc/passwd", 0

    rewritten(path, change=change)
    with pytest.raises(UpdateRefused, match="install"):
        unpack(path, tmp_path / "out")
    assert not (tmp_path / "out/systemd/install.sh").exists()


def test_a_folder_that_is_a_link_is_never_made(tmp_path):
    path = bundle(tmp_path)
    rewritten(path, change=lambda info: info.name != "manifest.json")
    rewritten(path, more=[member("systemd", tarfile.SYMTYPE, target="/tmp")])
    with pytest.raises(UpdateRefused):
        unpack(path, tmp_path / "out")
    assert not (tmp_path / "out/systemd").exists()


def test_other_bytes_and_a_missing_file_are_refused(tmp_path):
    path = bundle(tmp_path)
    content = path.read_bytes()
    assert content.count(b"a wheel") == 1
    path.write_bytes(content.replace(b"a wheel", b"a wheal"))
    with pytest.raises(UpdateRefused, match="other bytes"):
        unpack(path, tmp_path / "out")
    path.write_bytes(content)
    rewritten(path, change=lambda info: info.name.endswith(".whl"))
    with pytest.raises(UpdateRefused, match=r"no lofi_switchboard-1\.0"):
        unpack(path, tmp_path / "again")


def test_a_bundle_without_a_manifest_at_its_beginning_is_refused(tmp_path):
    path = bundle(tmp_path)
    rewritten(path, change=lambda info: info.name == "manifest.json")
    with pytest.raises(UpdateRefused, match=r"no manifest\.json as its first file"):
        unpack(path, tmp_path / "out")
    path.write_bytes(b"")
    with pytest.raises(UpdateRefused):
        unpack(path, tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_a_bundle_cut_anywhere_is_refused(tmp_path):
    path = bundle(tmp_path)
    content = path.read_bytes()
    # Behind the last file are only zeros.
    end = len(content.rstrip(b"\0"))
    for n in (*range(0, end, 256), end - 1):
        path.write_bytes(content[:n])
        with pytest.raises(UpdateRefused):
            unpack(path, tmp_path / f"out-{n}")


def test_damaged_headers_raise_no_other_error(tmp_path):
    path = bundle(tmp_path)
    content = path.read_bytes()
    for place in (*range(512), *range(1024, 1536, 3)):
        path.write_bytes(content[:place] + bytes([content[place] ^ 0xFF]) + content[place + 1 :])
        try:
            unpack(path, tmp_path / f"out-{place}")
        except UpdateRefused:
            continue


def test_a_manifest_that_is_too_large_is_not_read(tmp_path):
    path = tmp_path / "bundle.tar"
    with tarfile.open(path, "w") as tar:
        info = member("manifest.json", n_bytes=bundles.MOST_MANIFEST_BYTES + 1)
        tar.fileobj.write(info.tobuf())
    with pytest.raises(UpdateRefused, match="1,048,577 bytes"):
        unpack(path, tmp_path / "out")


ENTRY = {"bytes": 1, "sha256": "0" * 64}


@pytest.mark.parametrize(
    "text",
    [
        b"",
        b"[]",
        b"{",
        b"null",
        b"[" * 100_000,
        manifest(format=2),
        manifest(version=1),
        manifest(version="1.1"),
        manifest(files=[]),
        manifest(files={}),
        manifest(files=files(x={"bytes": -1, "sha256": "0" * 64})),
        manifest(files=files(x={"bytes": True, "sha256": "0" * 64})),
        manifest(files=files(x={"bytes": 2**40, "sha256": "0" * 64})),
        manifest(files=files(x={"bytes": 1, "sha256": "0"})),
        manifest(files=files(x={"bytes": 1})),
        manifest(files=files(**{f"{n}.whl": {**ENTRY, "bytes": 2**28} for n in range(3)})),
        manifest(files=files(**{str(n): ENTRY for n in range(500)})),
        manifest(files=files(**{"manifest.json": ENTRY})),
        manifest(files=files(**{"lofi_switchboard-2.0-py3-none-any.whl": ENTRY})),
        *(
            manifest(files=files(**{name: ENTRY}))
            for name in ("../x", "/x", "a//b", ".x", "a/.b", "-x", "a/b/c/d/e", "a b", "x\n", "é")
        ),
    ],
    ids=lambda text: repr(text[:20]) + str(len(text)),
)
def test_a_manifest_of_another_form_is_refused(text):
    with pytest.raises(UpdateRefused):
        Manifest.parse(text)


def test_a_manifest_is_read_as_it_was_written():
    before = Manifest.parse(manifest())
    assert Manifest.parse(before.to_json()) == before
