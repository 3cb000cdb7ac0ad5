"""Stage C: the box as an emulated machine, with the kernel's own GPIO lines and sound card.

gpiozero and lgpio are the unmodified ones, on lines of gpio-sim; the card is snd-aloop, recorded
from its other end. The processor is emulated and some hundred times too slow: what comes out is
judged, and never when. The tests tell one story, in this order.
"""

import random
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from device.header import DEFAULT_PINS
from device.state import Bits
from tests.rehearsal import voice
from tests.rehearsal.conftest import to_be_had
from tests.rehearsal.guest import Guest, make_disk
from tests.rehearsal.login import BOX as HOST
from tests.rehearsal.login import Login
from tests.rehearsal.shell import Failed, run, wait_until
from tests.rehearsal.trees import GUEST, borrowed
from tests.rehearsal.wheelhouse import wheelhouse

pytestmark = pytest.mark.bounded(1800)
