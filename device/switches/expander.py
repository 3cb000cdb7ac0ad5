"""Switches on the lines of an MCP23017, or another GPIO chip that the kernel knows."""

from collections.abc import Callable, Sequence
from queue import Empty, SimpleQueue

from device.switches.kernel_lines import LineRequest, chip_path
from device.system.threads import SupervisedThread

Report = Callable[[str], object]

# So long the loop waits for levels, a quarter of the sound that is left when it asks; a chip on I2C
# takes 0.1 to 0.5 ms. Later ones are those of the next hop.
WAIT_SECONDS = 0.003
# The helper waits so long for a question, and a read that takes longer is reported.
IDLE_SECONDS = 1.0
STALL_SECONDS = 5.0


class Expander:
    """The lines of one chip, read together: over I2C one line takes as long as sixteen.

    A chip that no longer answers is reported once; its switches stay as they are until it does.

    Parameters
    ----------
    number : int
        Of /dev/gpiochipN.
    lines : sequence of int
    pull_up : bool or None
        True: with the chip's pull-ups, False: its pull-downs; None: neither.

    Attributes
    ----------
    n_lines : int
    levels : int
        Bit i is the level of line i of `lines`, as it was read last.

    Raises
    ------
    OSError
        If the chip is not there, or a line is taken or does not exist.
    """

    def __init__(
        self, number: int, lines: Sequence[int], pull_up: bool | None, report: Report | None
    ) -> None:
        self._name = f"gpiochip{number}"
        self._report = report
        self._is_lost = False
        self.n_lines = len(lines)
        self._lines = LineRequest(chip_path(number), lines, pull_up)
        try:
            self.levels = self._lines.read()
        except BaseException:
            self.close()
            raise

    def refresh(self) -> None:
        """Read all lines."""
        try:
            self.levels = self._lines.read()
            is_lost = False
        except OSError as error:
            is_lost, reason = True, str(error.strerror)
        if is_lost != self._is_lost and self._report is not None:
            if is_lost:
                how = f"does not answer ({reason}): its switches stay as they are; check its wires"
            else:
                how = "answers again"
            self._report(f"{self._name} {how}")
        self._is_lost = is_lost

    def close(self) -> None:
        """Release the lines; idempotent."""
        self._lines.close()


class ExpanderReader:
    """Reads chips on a helper thread when it is asked to, and does not wait for a bus that hangs.

    I2C waits a second for a chip that holds the bus. The loop waits `WAIT_SECONDS` once, goes on
    with the levels before, and asks again when the helper is back.

    Parameters
    ----------
    chips : sequence of Expander
        Are closed with it.
    """

    def __init__(self, chips: Sequence[Expander]) -> None:
        self._chips = tuple(chips)
        self._questions: SimpleQueue[None] = SimpleQueue()
        self._answers: SimpleQueue[None] = SimpleQueue()
        self._is_asked = False
        self._helper = SupervisedThread("expanders", self._answer, stall_seconds=STALL_SECONDS)

    def read(self) -> int:
        """The levels of all chips' lines, those of the first chip lowest."""
        if self._is_asked:
            self._is_asked = not self._is_answered_within(0.0)
        if not self._is_asked:
            self._questions.put(None)
            self._is_asked = not self._is_answered_within(WAIT_SECONDS)
        levels = shift = 0
        for chip in self._chips:
            levels |= chip.levels << shift
            shift += chip.n_lines
        return levels

    def close(self) -> None:
        """Release the lines; may be called again."""
        self._helper.end()
        self._questions.put(None)
        self._helper.close()
        for chip in self._chips:
            chip.close()

    def _is_answered_within(self, seconds: float) -> bool:
        try:
            self._answers.get(timeout=seconds)
        except Empty:
            return False
        return True

    def _answer(self) -> None:
        try:
            self._questions.get(timeout=IDLE_SECONDS)
        except Empty:
            return
        try:
            for chip in self._chips:
                chip.refresh()
        finally:
            self._answers.put(None)
