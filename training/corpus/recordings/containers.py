"""The length in the header of a sound file, compared with what the file holds.

Decoders rely on headers, which may be wrong: the file was cut off after they were written, or
written to a pipe, before the length was known. The contents are counted here, from the frames
(MPEG), pages (Ogg) or chunks (WAV, AIFF). Where a header claims too little, a decoder stops too
early; it is then given a corrected header with the same sound after it.
"""

from __future__ import annotations

import io
import mmap
import re
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, NamedTuple

Data = bytes | mmap.mmap


@dataclass(frozen=True, slots=True)
class Splice:
    """A header to decode with: `new` in place of `n_old` bytes at `start`."""

    start: int
    n_old: int
    new: bytes


@dataclass(frozen=True, slots=True)
class ContainerContents:
    """What a file holds. The default is a file without a visible fault.

    Attributes
    ----------
    is_cut_off
        Whether less is there than the header claims, or the last frame, page or chunk is not whole.
    n_claimed
        Sample frames that the header claims; None: none, or what is missing shows otherwise.
    n_sound
        Sample frames before the first damage; None: no damage was seen.
    continues
        Whether frames or pages follow the first damage, or may follow it.
    splice
        The change for a decoder that would stop too early.
    """

    is_cut_off: bool = False
    n_claimed: int | None = None
    n_sound: int | None = None
    continues: bool = False
    splice: Splice | None = None


def survey(path: Path, container: str, sample_rate: int, n_expected: int) -> ContainerContents:
    """Compare a file with its header.

    Parameters
    ----------
    container
        As soundfile names it: "MP3", "OGG", "FLAC", "WAV", "AIFF" ...
    sample_rate
        Of the decoder [Hz].
    n_expected
        Sample frames after which the decoder would stop.
    """
    surveyor = _SURVEYORS.get(container)
    if surveyor is None or path.stat().st_size == 0:
        return ContainerContents()
    with path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
        return surveyor(data, sample_rate, n_expected)


class SplicedFile(io.RawIOBase):
    """A file read with one stretch of it replaced, for a decoder that takes file objects."""

    def __init__(self, file: BinaryIO, splice: Splice) -> None:
        super().__init__()
        self._file, self._splice = file, splice
        self._growth = len(splice.new) - splice.n_old
        self._length = file.seek(0, io.SEEK_END) + self._growth
        self._position = 0

    def readable(self) -> bool:
        """Return true."""
        return True

    def seekable(self) -> bool:
        """Return true."""
        return True

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        """Move to a position and return it [bytes]."""
        origin = {io.SEEK_SET: 0, io.SEEK_CUR: self._position, io.SEEK_END: self._length}[whence]
        self._position = max(origin + offset, 0)
        return self._position

    def tell(self) -> int:
        """Return the position [bytes]."""
        return self._position

    def readinto(self, buffer: memoryview) -> int:  # type: ignore[override]
        """Fill a buffer and return how many bytes there were."""
        target = memoryview(buffer).cast("B")
        n_read = 0
        while n_read < len(target):
            part = self._part(len(target) - n_read)
            if not part:
                break
            target[n_read : n_read + len(part)] = part
            n_read += len(part)
            self._position += len(part)
        return n_read

    def _part(self, n_wanted: int) -> bytes:
        """Return bytes from the position on, from one side of a seam only."""
        first, last = self._splice.start, self._splice.start + len(self._splice.new)
        if first <= self._position < last:
            return self._splice.new[self._position - first :][:n_wanted]
        if self._position < first:
            self._file.seek(self._position)
            return self._file.read(min(n_wanted, first - self._position))
        self._file.seek(self._position - self._growth)
        return self._file.read(n_wanted)


# -- MPEG audio -----------------------------------------------------------------------------

_UNKNOWN_MPEG_FRAMES = 0x7FFFFFFF
_LARGEST_PADDING = 4095 + 3 * 1152  # what a decoder may rightly leave out at both ends [samples]
_CANDIDATE = re.compile(rb"\xff[\xe2-\xff]", re.DOTALL)
_RATES = {3: (44100, 48000, 32000), 2: (22050, 24000, 16000), 0: (11025, 12000, 8000)}
# kbit/s by index, of version 1 and of versions 2 and 2.5, layers I to III
_KBITS = {
    (1, 1): (32, 64, 96, 128, 160, 192, 224, 256, 288, 320, 352, 384, 416, 448),
    (1, 2): (32, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320, 384),
    (1, 3): (32, 40, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320),
    (2, 1): (32, 48, 56, 64, 80, 96, 112, 128, 144, 160, 176, 192, 224, 256),
    (2, 2): (8, 16, 24, 32, 40, 48, 56, 64, 80, 96, 112, 128, 144, 160),
    (2, 3): (8, 16, 24, 32, 40, 48, 56, 64, 80, 96, 112, 128, 144, 160),
}


class _MpegFrame(NamedTuple):
    kind: tuple[int, int, int]  # version bits, layer, sample rate: alike in all of a stream
    n_bytes: int
    n_samples: int


class _MpegCount(NamedTuple):
    n_frames: int
    n_gaps: int  # places with other data between frames
    is_cut_off: bool


def _mpeg_frame(header: bytes) -> _MpegFrame | None:
    if len(header) < 4 or header[0] != 0xFF or header[1] & 0xE0 != 0xE0:
        return None
    version, layer = header[1] >> 3 & 3, 4 - (header[1] >> 1 & 3)
    bitrate, rate = header[2] >> 4, header[2] >> 2 & 3
    if version == 1 or layer == 4 or bitrate in {0, 15} or rate == 3:
        return None
    generation = 1 if version == 3 else 2
    bits_per_second = 1000 * _KBITS[generation, layer][bitrate - 1]
    sample_rate, padding = _RATES[version][rate], header[2] >> 1 & 1
    n_samples = {1: 384, 2: 1152, 3: 1152 // generation}[layer]
    slot = 4 if layer == 1 else 1
    n_bytes = (n_samples // (8 * slot) * bits_per_second // sample_rate + padding) * slot
    return _MpegFrame((version, layer, sample_rate), n_bytes, n_samples)


def _find_mpeg_frame(data: Data, start: int, kind: tuple[int, int, int] | None) -> int | None:
    """Return where a frame begins that another one, or the end of the file, follows."""
    while (candidate := _CANDIDATE.search(data, start)) is not None:
        start = candidate.start() + 1
        frame = _mpeg_frame(data[candidate.start() : candidate.start() + 4])
        if frame is None or kind not in {None, frame.kind}:
            continue
        end = candidate.start() + frame.n_bytes
        after = _mpeg_frame(data[end : end + 4])
        if end == len(data) or (after is not None and after.kind == frame.kind):
            return candidate.start()
    return None


def _count_mpeg_frames(data: Data, start: int, kind: tuple[int, int, int]) -> _MpegCount:
    n_frames = n_gaps = 0
    position: int | None = start
    while position is not None and position + 4 <= len(data):
        frame = _mpeg_frame(data[position : position + 4])
        if frame is None or frame.kind != kind:
            position = _find_mpeg_frame(data, position, kind)
            n_gaps += position is not None
        elif position + frame.n_bytes > len(data):
            return _MpegCount(n_frames, n_gaps, is_cut_off=True)
        else:
            n_frames += 1
            position += frame.n_bytes
    return _MpegCount(n_frames, n_gaps, is_cut_off=False)


def _survey_mpeg(data: Data, _sample_rate: int, n_expected: int) -> ContainerContents:
    start = 0
    while data[start : start + 3] == b"ID3":  # sizes have seven bits a byte
        size = sum((byte & 0x7F) << 7 * (3 - i) for i, byte in enumerate(data[start + 6 :][:4]))
        start += 10 + size + (10 if data[start + 5] & 0x10 else 0)
    first = _find_mpeg_frame(data, start, None)
    frame = None if first is None else _mpeg_frame(data[first : first + 4])
    if first is None or frame is None:
        return ContainerContents()
    info = _find_info(data, first, frame)
    count = _count_mpeg_frames(data, first + (frame.n_bytes if info else 0), frame.kind)
    n_claimed = int.from_bytes(data[info + 8 : info + 12], "big") if info else 0
    # Some encoders count the frame of the header itself.
    n_missing = n_claimed - count.n_frames - 1 - 2 * count.n_gaps
    n_present = count.n_frames * frame.n_samples
    is_short = n_expected + _LARGEST_PADDING < n_present
    # A decoder may stop at other data between frames; it loses a frame on either side.
    n_least = n_present - _LARGEST_PADDING - 2 * count.n_gaps * frame.n_samples
    return ContainerContents(
        is_cut_off=count.is_cut_off or 0 < n_missing < _UNKNOWN_MPEG_FRAMES // 2,
        n_claimed=n_least if count.n_gaps else None,
        continues=count.n_gaps > 0,
        splice=_info_splice(data, first, info) if is_short else None,
    )


def _find_info(data: Data, first: int, frame: _MpegFrame) -> int | None:
    """Return where in the first frame a Xing header with a number of frames begins."""
    header = re.compile(rb"(Xing|Info)...[\x01\x03\x05\x07\x09\x0b\x0d\x0f]", re.DOTALL).search(
        data, first + 4, first + min(frame.n_bytes, 64)
    )
    return header.start() if header else None


def _info_splice(data: Data, first: int, info: int | None) -> Splice:
    claim = _UNKNOWN_MPEG_FRAMES.to_bytes(4, "big")
    if info is not None:
        return Splice(info + 8, 4, claim)
    # A frame of silence like the first one, without check sum, that holds nothing but the claim.
    head = data[first : first + 4]
    header = bytes([head[0], head[1] | 1, head[2] & 0x0C | 0x90, head[3]])
    frame = _mpeg_frame(header)
    is_mono, is_newest = head[3] >> 6 == 3, head[1] >> 3 & 3 == 3
    n_side = (17 if is_mono else 32) if is_newest else (9 if is_mono else 17)
    content = header + bytes(n_side) + b"Info" + (1).to_bytes(4, "big") + claim
    return Splice(first, 0, content.ljust(frame.n_bytes if frame else 0, b"\0"))


# -- Ogg ------------------------------------------------------------------------------------

_OGG_END = 4  # flag of the last page of a stream
_NO_GRANULE = 2**64 - 1
_REVERSED = bytes(int(f"{byte:08b}"[::-1], 2) for byte in range(256))


class _OggPage(NamedTuple):
    flags: int
    granule: int
    serial: int
    number: int
    content: bytes
    n_bytes: int


def _ogg_pages(data: Data) -> Iterator[_OggPage | None]:
    """Yield the pages of a file one after another; None where one is damaged, and stop."""
    position = 0
    while position < len(data):
        head = data[position : position + 27]
        if len(head) < 27 or head[:4] != b"OggS":
            yield None
            return
        sizes = data[position + 27 : position + 27 + head[26]]
        n_bytes = 27 + len(sizes) + sum(sizes)
        page = bytearray(data[position : position + n_bytes])
        page[22:26] = bytes(4)
        if len(page) < n_bytes or _ogg_checksum(page) != int.from_bytes(head[22:26], "little"):
            yield None
            return
        granule, serial, number = (
            int.from_bytes(head[first:last], "little")
            for first, last in ((6, 14), (14, 18), (18, 22))
        )
        yield _OggPage(head[5], granule, serial, number, bytes(page[27 + len(sizes) :]), n_bytes)
        position += n_bytes


def _ogg_checksum(page: bytes | bytearray) -> int:
    """Return Ogg's CRC-32: zlib's polynomial, but bits in the other order, from 0, not inverted."""
    register = zlib.crc32(page.translate(_REVERSED), 0xFFFFFFFF) ^ 0xFFFFFFFF
    return int(f"{register:032b}"[::-1], 2)


def _survey_ogg(data: Data, sample_rate: int, _n_expected: int) -> ContainerContents:
    n_sound, n_skipped, granule_rate, n_whole_bytes = 0, 0, sample_rate, 0
    last: _OggPage | None = None
    serials: set[int] = set()
    for page in _ogg_pages(data):
        follows = page is not None and (
            page.serial not in serials or last is None or page.number == last.number + 1
        )
        if page is None or (not follows and len(serials) == 1):
            break
        if page.content[:8] == b"OpusHead":
            n_skipped, granule_rate = int.from_bytes(page.content[10:12], "little"), 48000
        if page.granule != _NO_GRANULE:
            n_sound = max(page.granule - n_skipped, 0)
        serials.add(page.serial)
        last = page
        n_whole_bytes += page.n_bytes
    else:
        return ContainerContents(is_cut_off=last is None or not last.flags & _OGG_END)
    if last is not None and last.flags & _OGG_END:
        return ContainerContents()  # what follows the last page is no sound
    # Several streams each count from 0: the length of the sound is unknown.
    is_known = len(serials) == 1
    return ContainerContents(
        is_cut_off=True,
        n_sound=n_sound * sample_rate // granule_rate if is_known else None,
        continues=page is not None or data.find(b"OggS", n_whole_bytes + 1) >= 0,
    )


# -- FLAC -----------------------------------------------------------------------------------

_TOTAL_BITS = 36  # of the total number of samples, the last ones of eight bytes


def _survey_flac(data: Data, _sample_rate: int, _n_expected: int) -> ContainerContents:
    start = data.find(b"fLaC", 0, 2**20)
    if start < 0:
        return ContainerContents()
    field = int.from_bytes(data[start + 18 : start + 26], "big")
    n_claimed = field % 2**_TOTAL_BITS
    if n_claimed == 0:
        return ContainerContents(continues=True)
    unknown = (field - n_claimed).to_bytes(8, "big")
    # With an unknown total, the decoder continues as long as there is sound.
    # Frames are not counted here: a second decoder finds out whether sound follows a damage.
    return ContainerContents(
        n_claimed=n_claimed, splice=Splice(start + 18, 8, unknown), continues=True
    )


# -- chunks ---------------------------------------------------------------------------------

# Written where the length is not known, by what writes to a pipe.
_UNKNOWN_SIZES = (range(0x7FFF0000, 0x80000001), range(0xFFFFFF00, 0x100000000))


def _survey_chunks(data: Data, _sample_rate: int, _n_expected: int) -> ContainerContents:
    order = "big" if data[:4] in {b"FORM", b"RIFX"} else "little"
    position = 12
    while position + 8 <= len(data):
        size = int.from_bytes(data[position + 4 : position + 8], order)  # type: ignore[arg-type]
        begin = position + 8
        if data[position : position + 4] in {b"data", b"SSND"}:
            return _survey_sound_chunk(data, begin, size)
        position = begin + size + size % 2
    return ContainerContents()


def _survey_sound_chunk(data: Data, begin: int, size: int) -> ContainerContents:
    n_present = len(data) - begin
    if size == 0 and n_present > 0 and data[begin - 8 : begin - 4] == b"data":
        return ContainerContents(splice=Splice(begin - 4, 4, b"\xff\xff\xff\xff"))
    is_known = data[:4] != b"RF64" and not any(size in sizes for sizes in _UNKNOWN_SIZES)
    return ContainerContents(is_cut_off=is_known and size > n_present)


_SURVEYORS: dict[str, Callable[[Data, int, int], ContainerContents]] = {
    "MP3": _survey_mpeg,
    "OGG": _survey_ogg,
    "FLAC": _survey_flac,
    "WAV": _survey_chunks,
    "WAVEX": _survey_chunks,
    "AIFF": _survey_chunks,
}
