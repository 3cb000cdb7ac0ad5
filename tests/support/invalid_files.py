"""Files that no command accepts, by name; each is made by a function of its path."""

import json
import os
import wave

from device.model.contract import MAX_MODEL_BYTES
from device.store.store import ModelStore
from device.ui.status_file import FIELDS
from tests.support import faulty_models as faulty
from tests.support import malicious_models as malicious
from tests.support import tiny_model as tiny
from tests.support.fma_archive import write_tables

OLD_STATUS = json.dumps({**dict.fromkeys(FIELDS), "written_at": 1.5, "pid": 77})


def _song(folder):
    """A folder with a file in it that is music by its name."""
    folder.mkdir()
    (folder / "song.wav").touch()


FILES = {
    "tiny.onnx": tiny.build,
    "text.onnx": lambda path: path.write_text("not a model\n" * 500, encoding="utf-8"),
    "empty.onnx": lambda path: path.touch(),
    "half.onnx": lambda path: path.write_bytes(tiny.build(path).read_bytes()[:6000]),
    "foreign.onnx": tiny.build_foreign,
    "large.onnx": lambda path: os.truncate(_touched(path), MAX_MODEL_BYTES + 1),
    "keyless.onnx": lambda path: tiny.build(path, metadata={"hop_length": None}),
    "moody.onnx": lambda path: tiny.build(path, metadata={"mood": "blue"}),
    "future.onnx": lambda path: tiny.build(path, metadata={"contract_version": "6"}),
    "wordy.onnx": lambda path: tiny.build(path, metadata={"sample_rate": "many"}),
    "shape.onnx": lambda path: tiny.build(path, graph={"n_switches": 4}),
    "echo.onnx": lambda path: tiny.build(path, extra_output=True),
    "golden.onnx": lambda path: tiny.build(path, golden_offset=0.5),
    "loop.onnx": lambda path: malicious.write(malicious.looping(), path),
    "bomb.onnx": lambda path: malicious.write(malicious.constant_bomb(), path),
    "slow.onnx": lambda path: malicious.write(malicious.long_work(n_products=60, side=256), path),
    "spoilt.onnx": lambda path: malicious.write(malicious.spoilt_states(float("nan")), path),
    "store": lambda path: _store(path, None),
    "refusing": lambda path: _store(path, "it hums"),
    "broken.toml": lambda path: path.write_text("seed = = 1\n", encoding="utf-8"),
    "binary.toml": lambda path: path.write_bytes(b"\xff\xfe"),
    "unknown.toml": lambda path: path.write_text("sead = 1\n", encoding="utf-8"),
    "typed.toml": lambda path: path.write_text("seed = 'one'\n", encoding="utf-8"),
    "words.txt": lambda path: path.write_text("0 101 now\n", encoding="utf-8"),
    "time.txt": lambda path: path.write_text("soon 101\n", encoding="utf-8"),
    "past.txt": lambda path: path.write_text("-1 101\n", encoding="utf-8"),
    "order.txt": lambda path: path.write_text("# up\n2 101\n1 100\n", encoding="utf-8"),
    "bits.txt": lambda path: path.write_text("0 1010\n", encoding="utf-8"),
    "binary.txt": lambda path: path.write_bytes(b"\xff\xfe\x00"),
    "old.json": lambda path: path.write_text(OLD_STATUS, encoding="utf-8"),
    "failing.onnx": faulty.failing_in_one_state,
    "text.wav": lambda path: path.write_text("not a sound\n" * 500, encoding="utf-8"),
    "empty.wav": lambda path: path.touch(),
    "short.wav": lambda path: _wav(path, n_samples=220),
    "silent.wav": lambda path: _wav(path, n_samples=30_000),
    "file": lambda path: path.touch(),
    "folder": lambda path: path.mkdir(),
    "song": _song,
    "fma": write_tables,
}


# Never ends when read, or waits for a writer.
ENDLESS = {"pipe": os.mkfifo, "endless": lambda path: path.symlink_to("/dev/zero")}
FILES.update(ENDLESS)


def _touched(path):
    path.touch()
    return path


def _wav(path, n_samples):
    """Silence, 16 bits at 22,050 Hz."""
    with wave.open(str(path), "wb") as file:
        file.setparams((1, 2, 22_050, 0, "NONE", ""))
        file.writeframes(bytes(2 * n_samples))


def _store(folder, refusal):
    """A store whose one model is active, and refused if there is a reason."""
    store = ModelStore(folder)
    digest = store.add(tiny.build(folder.with_suffix(".onnx")))
    folder.with_suffix(".onnx").unlink()
    store.activate(digest)
    if refusal:
        store.refuse(digest, refusal)
