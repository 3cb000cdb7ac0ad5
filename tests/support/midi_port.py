"""A MIDI port for tests: a device file whose other end the test holds."""

import os
import tty
from contextlib import suppress

from device.closeable import Closeable
from tests.support.waiting import wait_until


class MidiPort(Closeable):
    """The end of a pseudo terminal in place of a card's; its name is a link in a folder."""

    def __init__(self, folder, number=0):
        folder.mkdir(exist_ok=True)
        self._ours, theirs = os.openpty()
        tty.setraw(theirs)
        os.set_blocking(self._ours, False)
        self.path = folder / f"midiC{number}D0"
        self.path.symlink_to(os.ttyname(theirs))
        # The device stays open, so that a port which is closed can be opened again.
        self._theirs = theirs
        self.sent = b""

    def play(self, *data):
        os.write(self._ours, bytes(data))

    def received(self):
        """All that was written to it so far."""
        with suppress(BlockingIOError, OSError):
            self.sent += os.read(self._ours, 4096)
        return self.sent

    def wait_for(self, data):
        wait_until(lambda: data in self.received())

    def unplug(self):
        self.path.unlink(missing_ok=True)
        for fd in (self._ours, self._theirs):
            if fd >= 0:
                os.close(fd)
        self._ours = self._theirs = -1

    def close(self):
        self.unplug()
