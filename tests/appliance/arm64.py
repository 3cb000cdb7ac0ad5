"""Programs of a 64-bit Raspberry Pi, run here by qemu-user."""

import shutil
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from tests.appliance.shell import mounted

_REGISTRY = Path("/proc/sys/fs/binfmt_misc")
_NAME = "switchboard-appliance"
# The first bytes of an AArch64 program, and their mask, in the notation of binfmt_misc.
_MAGIC = r"\x7fELF\x02\x01\x01" + r"\x00" * 9 + r"\x02\x00\xb7\x00"
_MASK = r"\xff" * 7 + r"\x00" + r"\xff" * 8 + r"\xfe\xff\xff\xff"


@contextmanager
def arm64_programs() -> Iterator[None]:
    """Let the kernel run arm64 programs in qemu, whatever their root."""
    with ExitStack() as stack:
        if not (_REGISTRY / "register").exists():
            stack.enter_context(mounted("binfmt_misc", _REGISTRY, "-t", "binfmt_misc"))
        if not any("qemu-aarch64" in entry.read_text() for entry in _REGISTRY.glob("*[!r]")):
            qemu = shutil.which("qemu-aarch64-static")
            # F: opened now, so that it is found from within a root tree as well.
            line = f":{_NAME}:M::{_MAGIC}:{_MASK}:{qemu}:F"
            (_REGISTRY / "register").write_text(line)
            stack.callback(lambda: (_REGISTRY / _NAME).write_text("-1"))
        yield
