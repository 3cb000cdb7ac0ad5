"""A small sound font: one sine wave, as every General MIDI program.

Written according to the SoundFont 2.01 specification: chunks of a RIFF file, tables of fixed
records that end with a terminal one.
"""

from __future__ import annotations

import struct

import numpy as np

ROOT_KEY = 69
SAMPLE_RATE = 44_100
_PERIOD = 100  # 441 Hz: four cents sharp of A4
N_PROGRAMS = 128


def _chunk(name, data):
    return name + struct.pack("<I", len(data)) + data + b"\0" * (len(data) % 2)


def _list(kind, *chunks):
    return _chunk(b"LIST", kind + b"".join(chunks))


def _name(text):
    return text.encode().ljust(20, b"\0")


def _presets():
    rows = [
        struct.pack("<20sHHHIII", _name(f"sine {n}"), n, 0, n, 0, 0, 0) for n in range(N_PROGRAMS)
    ]
    rows.append(struct.pack("<20sHHHIII", _name("EOP"), 0, 0, N_PROGRAMS, 0, 0, 0))
    bags = b"".join(struct.pack("<HH", n, 0) for n in range(N_PROGRAMS + 1))
    plays_instrument_0 = struct.pack("<HH", 41, 0)
    end = struct.pack("<HH", 0, 0)
    return (
        _chunk(b"phdr", b"".join(rows)),
        _chunk(b"pbag", bags),
        _chunk(b"pmod", bytes(10)),
        _chunk(b"pgen", plays_instrument_0 * N_PROGRAMS + end),
    )


def _instrument():
    loops = struct.pack("<HH", 54, 1)
    plays_sample_0 = struct.pack("<HH", 53, 0)
    return (
        _chunk(b"inst", struct.pack("<20sH", _name("sine"), 0) + struct.pack("<20sH", b"EOI", 1)),
        _chunk(b"ibag", struct.pack("<HHHH", 0, 0, 2, 0)),
        _chunk(b"imod", bytes(10)),
        _chunk(b"igen", loops + plays_sample_0 + struct.pack("<HH", 0, 0)),
    )


def write_sound_font(path):
    """Write the font and return its path."""
    n_samples = 40 * _PERIOD
    wave = 20_000 * np.sin(2 * np.pi * np.arange(n_samples) / _PERIOD)
    samples = np.concatenate([wave, np.zeros(46)]).astype("<i2").tobytes()
    loop = (10 * _PERIOD, 30 * _PERIOD)
    header = struct.pack(
        "<20sIIIIIBbHH", _name("sine"), 0, n_samples, *loop, SAMPLE_RATE, ROOT_KEY, -4, 0, 1
    )
    last = struct.pack("<20sIIIIIBbHH", _name("EOS"), 0, 0, 0, 0, 0, 0, 0, 0, 0)
    info = (_chunk(b"ifil", struct.pack("<HH", 2, 1)), _chunk(b"isng", b"EMU8000\0"))
    font = (
        _list(b"INFO", *info, _chunk(b"INAM", b"sine")),
        _list(b"sdta", _chunk(b"smpl", samples)),
        _list(b"pdta", *_presets(), *_instrument(), _chunk(b"shdr", header + last)),
    )
    path.write_bytes(_chunk(b"RIFF", b"sfbk" + b"".join(font)))
    return path
