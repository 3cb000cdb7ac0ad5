"""Who owns the packages `device`, `training` and `export` in this environment."""

import sys
from importlib.machinery import PathFinder

import pytest

from device.cli import main, switchboard
from device.errors import PackageConflict
from device.system import package_owners
from device.system.package_owners import foreign_owners


@pytest.fixture
def owners(monkeypatch):
    """Sets what the installed distributions say that they own."""

    def set_owners(**named):
        monkeypatch.setattr(package_owners, "packages_distributions", lambda: named)

    set_owners()
    return set_owners


def test_nothing_else_owns_the_packages_here():
    assert foreign_owners() == {}


@pytest.mark.parametrize("name", ["lofi-switchboard", "lofi_switchboard", "Lofi.Switchboard", None])
def test_every_spelling_of_the_own_name_is_the_own_name(owners, name):
    owners(device=[name], training=[name], export=[name])
    assert foreign_owners() == {}


def test_other_distributions_are_named_beside_the_own(owners):
    owners(device=["lofi-switchboard", "gadgets"], export=["b", "a", "b"], numpy=["numpy"])
    assert foreign_owners() == {
        "device": "the distribution gadgets",
        "export": "the distribution a, b",
    }


@pytest.mark.parametrize("kind", ["package", "module", "folder"])
def test_a_package_without_a_distribution_is_named_by_its_place(
    owners, tmp_path, monkeypatch, kind
):
    owners()
    place = tmp_path / ("export.py" if kind == "module" else "export")
    place.touch() if kind == "module" else place.mkdir()
    if kind == "package":
        (place / "__init__.py").touch()
    monkeypatch.delitem(sys.modules, "export", raising=False)
    monkeypatch.setattr(sys, "path", [str(tmp_path)])
    # An editable installation may find packages by other means than the path.
    monkeypatch.setattr(sys, "meta_path", [PathFinder])
    assert foreign_owners()["export"] == str(place)


def fail_to_import(monkeypatch, name):
    def load(_self):
        raise ModuleNotFoundError(f"No module named {name!r}", name=name)

    # Once imported, the package importlib_metadata makes entry points of a class of its own.
    monkeypatch.setattr(type(switchboard._entry_points["train"]), "load", load)


def test_a_verb_that_another_distribution_hides_ends_with_one_line(owners, monkeypatch, capsys):
    owners(training=["lofi-switchboard", "lessons\x1b[2J"])
    fail_to_import(monkeypatch, "training.commands")
    assert main(["train"]) == PackageConflict.exit_code
    err = capsys.readouterr().err
    assert err.count("\n") == 1
    assert "the distribution lessons" in err
    assert "\x1b" not in err


@pytest.mark.parametrize("name", ["training.commands", "of_another_project"])
def test_a_module_that_is_missing_for_another_reason_keeps_its_traceback(owners, monkeypatch, name):
    owners()
    fail_to_import(monkeypatch, name)
    with pytest.raises(ModuleNotFoundError):
        main(["train"])
