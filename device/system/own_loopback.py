"""A network of this process's own, with nothing in it but a loopback.

For what would otherwise use every network of the machine and cannot be told not to. It needs no
right where the kernel lets any account make a user namespace. A path Unix socket is reached as
before: it belongs to the file system.
"""

import ctypes
import fcntl
import os
import socket
import struct
from pathlib import Path

_NEW_USER, _NEW_NETWORK = 0x1000_0000, 0x4000_0000  # of <linux/sched.h>
_SET_FLAGS = 0x8914  # of <linux/sockios.h>
_UP_AND_LOOPBACK = 0x9


def enter_own_loopback() -> None:
    """Leave the machine's networks, for the rest of this process, which must have one thread.

    Raises
    ------
    OSError
        If it is not permitted, or there is more than one thread.
    """
    ids = (("uid_map", os.geteuid()), ("gid_map", os.getegid()))
    if ctypes.CDLL(None, use_errno=True).unshare(_NEW_USER | _NEW_NETWORK):
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))
    # The same account in the new namespace: files are as accessible as before.
    Path("/proc/self/setgroups").write_text("deny", encoding="ascii")
    for name, number in ids:
        Path("/proc/self", name).write_text(f"{number} {number} 1", encoding="ascii")
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as any_socket:
        fcntl.ioctl(any_socket, _SET_FLAGS, struct.pack("16sH14x", b"lo", _UP_AND_LOOPBACK))


def joining_words(pid: int) -> str:
    """The beginning of a command that runs a program in the network of a process."""
    return f"nsenter --target {pid} --user --net --preserve-credentials"
