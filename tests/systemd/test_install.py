"""The installer, into a root tree: no network, no root, nothing outside the tree."""

import os
import shutil
import stat
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

FOLDER = Path(__file__).parents[2] / "systemd"
UNITS = "etc/systemd/system"

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="systemd is Linux's")


def write_wheel(folder, name, version, files=(), requires=()):
    """A minimal wheel."""
    path = folder / f"{name}-{version}-py3-none-any.whl"
    info = f"{name}-{version}.dist-info"
    metadata = [f"Metadata-Version: 2.1\nName: {name.replace('_', '-')}\nVersion: {version}"]
    metadata += [f"Requires-Dist: {other}" for other in requires]
    with zipfile.ZipFile(path, "w") as wheel:
        for name_in_wheel, text in dict(files).items():
            wheel.writestr(name_in_wheel, text)
        wheel.writestr(f"{info}/METADATA", "\n".join(metadata) + "\n")
        wheel.writestr(
            f"{info}/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n"
        )
        wheel.writestr(f"{info}/RECORD", "")
    return path


def write_product(folder, version, text):
    """A `switchboard` that only prints a text, and needs one package beside it."""
    write_wheel(folder, "needed", "1.0", {"needed.py": ""})
    path = write_wheel(
        folder,
        "lofi_switchboard",
        version,
        {"product.py": f"import needed\n\n\ndef main():\n    print({text!r})\n"},
        requires=["needed"],
    )
    with zipfile.ZipFile(path, "a") as wheel:
        info = f"lofi_switchboard-{version}.dist-info"
        wheel.writestr(f"{info}/entry_points.txt", "[console_scripts]\nswitchboard=product:main\n")
    return path


@pytest.fixture(scope="module")
def own_pip(tmp_path_factory):
    """pip as a wheel, made of the one that runs here; the installer starts it from the file."""
    pip = pytest.importorskip("pip", reason="this environment has no pip of its own")
    package = Path(pip.__file__).parent
    path = tmp_path_factory.mktemp("pip") / f"pip-{pip.__version__}-py3-none-any.whl"
    with zipfile.ZipFile(path, "w") as wheel:
        for file in package.rglob("*"):
            if file.is_file() and "__pycache__" not in file.parts:
                wheel.write(file, f"pip/{file.relative_to(package)}")
    return path


@pytest.fixture
def wheelhouse(tmp_path, own_pip):
    """A wheelhouse as `make wheelhouse` fills one, with a product of two lines."""
    folder = tmp_path / "wheelhouse"
    folder.mkdir()
    write_product(folder, "1.0", "the first")
    shutil.copy(own_pip, folder)
    # lgpio is never missing here, whatever Python runs the tests.
    write_wheel(folder, "lgpio", "0.2.2.0")
    shutil.copytree(FOLDER, folder / "systemd")
    return folder


@pytest.fixture
def root(tmp_path):
    folder = tmp_path / "root"
    (folder / "usr/lib").mkdir(parents=True)
    (folder / "usr/lib/libportaudio.so.2").touch()
    return folder


@pytest.fixture
def install(wheelhouse, root, tmp_path):
    def install(*words, status=0):
        done = subprocess.run(
            ["sh", wheelhouse / "systemd/install.sh", "--root", root, *words],
            capture_output=True,
            text=True,
            check=False,
            # A machine without network, and pip without configuration.
            env={"PATH": os.environ["PATH"], "HOME": str(tmp_path), "PIP_NO_INDEX": "1"},
        )
        assert done.returncode == status, done.stdout + done.stderr
        return done.stdout + done.stderr

    return install


def current(root):
    return (root / "opt/switchboard/current").readlink().name


def files_below(root):
    return {str(p.relative_to(root)) for p in root.rglob("*")}


def test_it_installs_everything_from_a_wheelhouse_alone(install, root):
    output = install()
    assert (root / "opt/switchboard/current/bin/switchboard").exists()
    assert (root / "etc/switchboard/switchboard.toml").is_file()
    assert (root / "var/lib/switchboard/models").is_dir()
    assert (root / "etc/systemd/journald.conf.d/switchboard.conf").is_file()
    for unit in ("switchboard.service", "switchboard-fallback.service", "switchboard-retry.path"):
        assert (root / UNITS / unit).is_file()
    assert (root / UNITS / "switchboard.service.d/box.conf").is_file()
    enabled = root / UNITS / "multi-user.target.wants/switchboard.service"
    assert str(enabled.readlink()) == f"/{UNITS}/switchboard.service"
    assert str((root / "usr/local/bin/switchboard").readlink()) == (
        "/opt/switchboard/current/bin/switchboard"
    )
    assert "it plays from the next boot on" in output
    assert not [name for name in files_below(root) if name.endswith(".new")]


def test_installed_files_do_not_contain_the_path_of_the_root_tree(install, root):
    install()
    folder = root / "opt/switchboard/current"
    for file in [folder / "pyvenv.cfg", *(folder / "bin").iterdir()]:
        if not file.is_symlink():
            assert str(root) not in file.read_text(encoding="utf-8", errors="replace")
    # So it runs in the installed system.
    site = next((folder / "lib").glob("python3*/site-packages"))
    done = subprocess.run(
        [sys.executable, "-S", "-c", "import product; product.main()"],
        env={"PYTHONPATH": str(site)},
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout == "the first\n"


def test_installing_again_changes_nothing(install, root):
    install()
    before, settings = files_below(root), root / "etc/switchboard/switchboard.toml"
    settings.write_text("pins = [2]\n", encoding="utf-8")
    output = install()
    assert files_below(root) == before
    assert settings.read_text(encoding="utf-8") == "pins = [2]\n"
    assert "is there" in output
    assert "configuration kept" in output


def test_another_version_takes_over_and_the_one_before_is_kept(install, root, wheelhouse):
    installed = []
    model = root / "var/lib/switchboard/models/kept.onnx"
    for version in ("1.0", "1.1", "1.2"):
        write_product(wheelhouse, version, version)
        install()
        installed.append(current(root))
        model.touch()
    assert [name.partition("-")[0] for name in installed] == ["1.0", "1.1", "1.2"]
    versions = {path.name for path in (root / "opt/switchboard/versions").iterdir()}
    assert versions == set(installed[1:])
    assert model.exists()


def test_an_interrupted_installation_is_repeated(install, root):
    install()
    folder = (root / "opt/switchboard/current").resolve()
    (folder / "complete").unlink()
    (folder / "bin/switchboard").unlink()
    install()
    assert (folder / "bin/switchboard").exists()


def test_an_installation_that_fails_changes_nothing(install, root, wheelhouse):
    install()
    before = current(root), files_below(root)
    (wheelhouse / "needed-1.0-py3-none-any.whl").unlink()
    write_wheel(wheelhouse, "lofi_switchboard", "2.0", requires=["needed", "absent"])
    install(status=1)
    assert (current(root), files_below(root)) == before


def test_a_dry_run_prints_what_it_would_do_and_changes_nothing(install, root):
    before = files_below(root)
    output = install("--dry-run")
    assert files_below(root) == before
    assert f"write {root}/etc/switchboard/switchboard.toml" in output
    assert "-m venv --without-pip" in output
    install()
    before = files_below(root)
    assert "rm -rf" in install("--uninstall", "--dry-run")
    assert files_below(root) == before


def test_uninstalling_keeps_configuration_and_models_without_purge(install, root):
    before = files_below(root)
    install()
    (root / "var/lib/switchboard/.ssh/authorized_keys").touch()
    install("--uninstall")
    left = files_below(root) - before
    files = {name for name in left if (root / name).is_file()}
    assert files == {"etc/switchboard/switchboard.toml"}
    assert (root / "var/lib/switchboard/models").is_dir()
    assert not (root / "var/lib/switchboard/.ssh").exists()
    install("--uninstall", "--purge")
    assert not (root / "etc/switchboard").exists()
    assert not (root / "var/lib/switchboard").exists()


def test_nothing_is_announced_unless_it_was_asked_for(install, root, wheelhouse):
    file = root / "etc/avahi/services/switchboard.service"
    install()
    assert not file.exists()
    assert "announced" in install("--advertise")
    assert "<txt-record>version=1.0</txt-record>" in file.read_text(encoding="utf-8")
    # An upgrade keeps it, and announces its own version.
    write_product(wheelhouse, "1.1", "the second")
    install()
    assert "<txt-record>version=1.1</txt-record>" in file.read_text(encoding="utf-8")
    install("--no-advertise")
    assert not file.exists()
    install("--advertise")
    install("--uninstall")
    assert not file.exists()


ACCOUNT = 64_123
needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root gives files away")


@pytest.fixture
def account(root):
    """The service's account, in the tree already, with a number that is unused here."""
    (root / "etc").mkdir()
    line = f"switchboard:x:{ACCOUNT}:{ACCOUNT}::/var/lib/switchboard:/usr/sbin/nologin\n"
    (root / "etc/passwd").write_text(line, encoding="utf-8")
    (root / "etc/group").write_text("gpio:x:1:\naudio:x:2:\n", encoding="utf-8")
    return ACCOUNT


@pytest.fixture
def tools(tmp_path, monkeypatch):
    """Replaces a program that needs a whole system below a root tree."""
    folder = tmp_path / "tools"
    folder.mkdir()
    (folder / "usermod").write_text("#!/bin/sh\n", encoding="utf-8")
    (folder / "usermod").chmod(0o755)
    monkeypatch.setenv("PATH", f"{folder}:{os.environ['PATH']}")


@needs_root
@pytest.mark.usefixtures("tools")
def test_what_is_installed_has_the_same_modes_under_a_strict_umask(install, root, account):
    # As older versions left it.
    (root / "var/lib/switchboard/models").mkdir(parents=True, mode=0o700)
    before = os.umask(0o077)
    try:
        install()
    finally:
        os.umask(before)
    state = root / "var/lib/switchboard"
    for path, owner, mode in (
        (state, account, 0o755),
        (state / "models", account, 0o755),
        (state / ".ssh", account, 0o700),
        (root / "etc/switchboard/switchboard.toml", 0, 0o644),
    ):
        status = path.stat()
        assert (status.st_uid, status.st_gid) == (owner, owner)
        assert stat.S_IMODE(status.st_mode) == mode
    for path in (root / "opt/switchboard").rglob("*"):
        if not path.is_symlink():
            readable = 0o555 if path.is_dir() else 0o444
            assert path.stat().st_mode & readable == readable, path


@needs_root
@pytest.mark.usefixtures("tools")
@pytest.mark.parametrize("kind", ["folder", "file", "nothing"])
@pytest.mark.parametrize("name", ["models", ".ssh"])
def test_no_link_of_the_accounts_is_followed(install, root, account, tmp_path, name, kind):
    """Its target is neither given away nor changed, and no file is made there."""
    outside = tmp_path / "outside"
    if kind == "folder":
        outside.mkdir(mode=0o711)
    elif kind == "file":
        outside.touch(mode=0o600)
    state = root / "var/lib/switchboard"
    state.mkdir(parents=True)
    (state / name).symlink_to(outside)
    os.chown(state / name, account, account, follow_symlinks=False)
    before = status_of(outside)
    assert "expected one that is no link" in install(status=1)
    assert status_of(outside) == before
    # Removing does not follow it either.
    install("--uninstall", "--purge")
    assert status_of(outside) == before
    assert not state.exists()


def status_of(path):
    if not path.exists():
        return None
    status = path.stat()
    return status.st_uid, status.st_gid, status.st_mode, path.is_dir() and list(path.iterdir())


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("--nonsense",), "sudo systemd/install.sh"),
        (("--purge",), "--purge"),
        (("--wheelhouse", "no such folder"), "found no such folder"),
        (("no-such.whl",), "expected a wheel or a checkout"),
        (("--wheelhouse", "/usr"), "expected one: make wheelhouse"),
    ],
)
def test_wrong_usage_changes_nothing(install, root, words, message):
    before = files_below(root)
    status = 2 if words[0] in ("--nonsense", "--purge") else 1
    assert message in install(*words, status=status)
    assert files_below(root) == before


def test_the_scripts_are_clean_shell():
    scripts = sorted(FOLDER.rglob("*.sh"))
    assert len(scripts) >= 8
    for script in scripts:
        subprocess.run(["sh", "-n", script], check=True)
    # Finds more, and is not installed everywhere.
    if shutil.which("shellcheck"):
        subprocess.run(["shellcheck", *scripts], check=True)


PANEL_FILES = {
    f"{UNITS}/switchboard-panel.socket",
    f"{UNITS}/switchboard-panel.service",
    f"{UNITS}/sockets.target.wants/switchboard-panel.socket",
    f"{UNITS}/switchboard.service.d/panel.conf",
    f"{UNITS}/switchboard-fallback.service.d/panel.conf",
}


def test_the_panel_is_installed_by_its_option_alone_and_stays_until_it_is_unwanted(install, root):
    install()
    assert not PANEL_FILES & files_below(root)
    assert "sudo switchboard panel --link" in install("--panel")
    assert files_below(root) >= PANEL_FILES
    install()
    assert files_below(root) >= PANEL_FILES
    token = root / "var/lib/switchboard-panel/token"
    token.parent.mkdir()
    token.touch()
    install("--no-panel")
    assert not PANEL_FILES & files_below(root)
    assert not token.parent.exists()


def test_the_panel_goes_with_the_rest(install, root):
    install("--panel")
    (root / "var/lib/switchboard-panel").mkdir()
    install("--uninstall")
    assert not [name for name in files_below(root) if "panel" in name]
