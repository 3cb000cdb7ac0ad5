"""The kernel's interface for lines, with a stand-in for the kernel.

The last test is on a chip of gpio-sim or gpio-mockup, where this machine has one.
"""

import errno
import os
import shutil
import subprocess
from pathlib import Path

import pytest

from device.switches import kernel_lines as kernel
from device.switches.kernel_lines import LineRequest, chip_path, find_chip
from tests.support.gpio_chips import Chip, install_chips


@pytest.fixture
def chips(monkeypatch, tmp_path):
    return install_chips(
        monkeypatch, tmp_path / "dev", {0: Chip("brcmstb", 32), 10: Chip("pinctrl-rp1", 54)}
    )


def test_all_lines_are_read_in_one_call_in_the_order_of_the_list(chips):
    with LineRequest(chip_path(10), [26, 5, 6], True) as lines:
        assert lines.read() == 0b111
        chips[10].levels = {5: False}
        before = chips.n_reads
        assert lines.read() == 0b101
        assert chips.n_reads == before + 1


@pytest.mark.parametrize(("pull_up", "flag"), [(True, 1 << 8), (False, 1 << 9), (None, 1 << 10)])
def test_lines_are_inputs_with_the_pull_of_the_configuration(chips, pull_up, flag):
    with LineRequest(chip_path(10), [5], pull_up):
        assert chips[10].flags == flag | 1 << 2


def test_a_request_holds_64_lines(chips):
    chips[10].n_lines = 64
    chips[10].levels = {63: False}
    with LineRequest(chip_path(10), range(64), True) as lines:
        assert lines.read() == 2**63 - 1


def test_lines_are_free_again_when_the_request_is_closed_and_closing_twice_is_fine(chips):
    lines = LineRequest(chip_path(10), [5, 6], True)
    assert chips.held == {(10, 5), (10, 6)}
    lines.close()
    lines.close()
    assert chips.held == set()
    with pytest.raises(OSError, match="the lines are closed"):
        lines.read()
    LineRequest(chip_path(10), [5, 6], True).close()


def test_a_line_that_is_taken_is_refused_with_its_user_and_the_others_stay_free(chips):
    chips[10].consumers = {6: "gpiomon", 7: ""}
    with pytest.raises(OSError, match="line 6 is used by 'gpiomon'") as caught:
        LineRequest(chip_path(10), [5, 6], True)
    assert caught.value.errno == errno.EBUSY
    with pytest.raises(OSError, match="line 7 is used by 'the kernel'"):
        LineRequest(chip_path(10), [7], True)
    with LineRequest(chip_path(10), [5], True), pytest.raises(OSError, match="'switchboard'"):
        LineRequest(chip_path(10), [5], True)


def test_a_line_or_a_chip_that_is_not_there_is_refused(chips):
    with pytest.raises(OSError, match="gpiochip10 has 54 lines, and no line 54"):
        LineRequest(chip_path(10), [5, 54], True)
    with pytest.raises(OSError, match="gpiochip3: No such file or directory"):
        LineRequest(chip_path(3), [5], True)


def test_a_failed_request_leaves_no_file_open(chips):
    before = n_open_files()
    with pytest.raises(OSError, match="no line 54"):
        LineRequest(chip_path(10), [54], True)
    LineRequest(chip_path(10), [5], True).close()
    find_chip(["nothing"])
    assert n_open_files() == before


def n_open_files():
    return len(list(Path("/proc/self/fd").iterdir()))


def test_a_chip_is_found_by_its_name(chips):
    assert find_chip(["pinctrl-bcm2711", "pinctrl-rp1"]) == chip_path(10)
    assert find_chip(["pinctrl-bcm2835"]) is None


def test_chips_that_may_not_be_opened_are_named(chips, monkeypatch):
    def refuse(path, flags):
        raise PermissionError(errno.EACCES, "Permission denied")

    monkeypatch.setattr(os, "open", refuse)
    with pytest.raises(OSError, match="gpiochip0: Permission denied"):
        find_chip(["pinctrl-rp1"])


_LAYOUT = r"""
#include <linux/gpio.h>
#include <stddef.h>
#include <stdio.h>
#define REQUEST(field) offsetof(struct gpio_v2_line_request, field)
#define INFO(field) offsetof(struct gpio_v2_line_info, field)
int main(void) {
    printf("%lu %lu %lu %lu ", (unsigned long)GPIO_GET_CHIPINFO_IOCTL,
        (unsigned long)GPIO_V2_GET_LINEINFO_IOCTL, (unsigned long)GPIO_V2_GET_LINE_IOCTL,
        (unsigned long)GPIO_V2_LINE_GET_VALUES_IOCTL);
    printf("%zu %zu %zu %zu ", sizeof(struct gpiochip_info), sizeof(struct gpio_v2_line_info),
        sizeof(struct gpio_v2_line_request), sizeof(struct gpio_v2_line_values));
    printf("%zu %zu %zu %zu ", REQUEST(consumer), REQUEST(config.flags), REQUEST(num_lines),
        REQUEST(fd));
    printf("%zu %zu\n", INFO(offset), INFO(flags));
}
"""


def test_numbers_and_structures_are_those_of_the_header(tmp_path):
    compiler = shutil.which("cc")
    if compiler is None or not Path("/usr/include/linux/gpio.h").exists():
        pytest.skip("no C compiler with linux/gpio.h")
    program = tmp_path / "layout"
    subprocess.run([compiler, "-xc", "-o", program, "-"], input=_LAYOUT, text=True, check=True)
    words = subprocess.run([program], capture_output=True, text=True, check=True).stdout.split()
    structures = (kernel.CHIP_INFO, kernel.LINE_INFO, kernel.LINE_REQUEST, kernel.LINE_VALUES)
    numbers = (kernel.GET_CHIP_INFO, kernel.GET_LINE_INFO, kernel.GET_LINES, kernel.GET_VALUES)
    marks = kernel.LINE_REQUEST.pack(b"", b"c", 0x66, 0x6E, 0x64)
    info = kernel.LINE_INFO.pack(b"", b"", 0x6F, 0, 0x66)
    assert [int(word) for word in words] == [
        *numbers,
        *(structure.size for structure in structures),
        *(marks.index(mark) for mark in (b"c", b"\x66", b"\x6e", b"\x64")),
        *(info.index(mark) for mark in (b"\x6f", b"\x66")),
    ]


def test_lines_of_a_simulated_chip_of_the_kernel_are_held_and_read():
    labels = [f"gpio-{kind}" for kind in ("mockup-A", "sim.0-bank0")]
    try:
        chip = find_chip(labels)
    except OSError as error:
        pytest.skip(str(error))
    if chip is None:
        pytest.skip("this machine has no chip of gpio-sim or gpio-mockup")
    with LineRequest(chip, [0, 1], None) as lines:
        assert 0 <= lines.read() < 4
        with pytest.raises(OSError, match="line 1 is used by 'switchboard'"):
            LineRequest(chip, [1], None)
    LineRequest(chip, [1], None).close()
