"""The header's pins by the kernel, on a stand-in for it, and which package they are taken from."""

import subprocess
import sys

import pytest

from device.errors import SwitchesUnavailable
from device.switches.gpio import GpioSwitches
from device.switches.header_pins import GpiozeroPins, find_header, open_header, prepare_gpiozero
from device.switches.kernel_lines import chip_path
from device.switches.pinout import ChipLine
from tests.support.gpio_chips import Chip, install_chips

gpiozero = pytest.importorskip("gpiozero", reason="gpiozero is not installed")

PINS = (13, 5, 6)


@pytest.fixture
def chips(monkeypatch, tmp_path):
    monkeypatch.setattr(gpiozero.Device, "pin_factory", None)
    monkeypatch.delenv("GPIOZERO_PIN_FACTORY", raising=False)
    chips = {0: Chip("brcmstb", 32), 1: Chip(), 10: Chip("pinctrl-rp1", 54)}
    return install_chips(monkeypatch, tmp_path / "dev", chips)


def test_a_pin_pulled_to_ground_is_on(chips):
    with GpioSwitches(PINS, clock=iter(range(10)).__next__) as switches:
        assert switches.read(0.0) == (False, False, False)
        chips[10].levels = {5: False}
        assert switches.read(0.0) == (False, True, False)
        assert chips.held == {(10, 5), (10, 6), (10, 13)}
    assert chips.held == set()


def test_a_pin_at_the_supply_is_on_where_switches_close_to_it(chips):
    chips[10].levels = dict.fromkeys(PINS, False)
    with GpioSwitches(PINS, active_high=True) as switches:
        assert switches.levels() == (False, False, False)
        chips[10].levels[6] = True
        assert switches.levels() == (False, False, True)


def test_all_pins_are_read_in_one_call(chips):
    with GpioSwitches(PINS) as switches:
        before = chips.n_reads
        switches.read(0.0)
    assert chips.n_reads == before + 1


def test_pins_of_the_header_and_lines_of_an_expander_are_taken_together(chips):
    with GpioSwitches((6, ChipLine(1, 3), 5)) as switches:
        chips[10].levels = {5: False}
        assert switches.levels()[::2] == (False, True)
        assert chips.held == {(10, 6), (10, 5), (1, 3)}


@pytest.mark.parametrize("board", ["pinctrl-bcm2835", "pinctrl-bcm2711", "pinctrl-rp1"])
def test_the_header_is_found_by_the_name_of_its_chip(chips, board):
    chips[10].label = board
    assert find_header() == chip_path(10)


@pytest.mark.parametrize("pin", [28, 47, 99])
def test_a_pin_that_is_not_on_the_header_is_refused(chips, pin):
    with pytest.raises(SwitchesUnavailable, match=f"found BCM {pin} is not on the header"):
        GpioSwitches((5, pin))
    assert chips.held == set()


def test_a_pin_with_a_pull_up_on_the_board_is_not_pulled_down(chips):
    with pytest.raises(SwitchesUnavailable, match="BCM 3 has a pull-up on the board"):
        GpioSwitches((5, 3), active_high=True)
    GpioSwitches((2, 3)).close()


def test_a_pin_that_is_taken_is_refused_with_what_holds_it(chips):
    chips[10].consumers = {6: "spi0 CS1"}
    with pytest.raises(
        SwitchesUnavailable, match=r"found /\S*gpiochip10: line 6 is used by 'spi0 CS1'"
    ):
        GpioSwitches(PINS)
    chips[10].consumers = {}
    with GpioSwitches(PINS), pytest.raises(SwitchesUnavailable, match="used by 'switchboard'"):
        GpioSwitches((5,))


def test_pins_are_free_again_where_an_expander_is_not_there(chips):
    with pytest.raises(SwitchesUnavailable, match="gpiochip7: No such file"):
        GpioSwitches((5, ChipLine(7, 0)))
    assert chips.held == set()


def test_another_package_that_gpiozero_was_told_to_use_is_used(chips, mock_pins, monkeypatch):
    assert isinstance(open_header(PINS, True, active_high=False), GpiozeroPins)
    monkeypatch.setattr(gpiozero.Device, "pin_factory", None)
    monkeypatch.setenv("GPIOZERO_PIN_FACTORY", "pigpio")
    assert find_header() is None
    monkeypatch.setenv("GPIOZERO_PIN_FACTORY", "lgpio")
    assert find_header() == chip_path(10)


def test_a_machine_without_a_header_asks_gpiozero(chips, monkeypatch):
    chips[10].label = "pinctrl-amd"

    def no_factory():
        raise gpiozero.exc.BadPinFactory("Unable to load any default pin factory!")

    monkeypatch.setattr(gpiozero.Device, "_default_pin_factory", staticmethod(no_factory))
    with pytest.raises(SwitchesUnavailable, match="found Unable to load any default pin factory"):
        GpioSwitches(PINS)


def test_parts_of_gpiozero_are_on_the_same_chip(chips, monkeypatch):
    lgpio = pytest.importorskip("gpiozero.pins.lgpio", reason="lgpio is not installed")

    class Factory:
        def __init__(self, chip):
            self.chip = chip

    Factory.__module__ = lgpio.__name__
    monkeypatch.setattr(lgpio, "LGPIOFactory", Factory)
    prepare_gpiozero()
    assert gpiozero.Device.pin_factory.chip == 10
    # LEDs that were opened before do not change how a button is read.
    with GpioSwitches((5,)):
        assert chips.held == {(10, 5)}
    gpiozero.Device.pin_factory = None


def test_parts_of_gpiozero_stay_on_the_package_it_was_told_to_use(chips, mock_pins):
    prepare_gpiozero()
    assert gpiozero.Device.pin_factory is mock_pins


def test_a_chip_that_gpiozero_cannot_open_is_left_to_it(chips, monkeypatch):
    lgpio = pytest.importorskip("gpiozero.pins.lgpio", reason="lgpio is not installed")

    def refuse(chip):
        raise OSError("can not open gpiochip")

    monkeypatch.setattr(lgpio, "LGPIOFactory", refuse)
    prepare_gpiozero()
    assert gpiozero.Device.pin_factory is None


def test_pins_by_the_kernel_import_no_gpiozero(tmp_path):
    (tmp_path / "gpiochip0").touch()
    code = (
        "import sys; from device.switches import kernel_lines as kernel;"
        "from pathlib import Path; from tests.support.gpio_chips import *;"
        f"kernel.DEVICES = Path({str(tmp_path)!r});"
        "kernel.ioctl = GpioChips(kernel.DEVICES, {0: Chip('pinctrl-bcm2711', 58)}).ioctl;"
        "from device.switches.gpio import GpioSwitches; GpioSwitches((5, 6)).levels();"
        "assert 'gpiozero' not in sys.modules and 'lgpio' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
