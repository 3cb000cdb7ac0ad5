"""Everything a player can get wrong: one line that says so, an exit code of its own, no debris."""

import io
import json
import os
import subprocess
import sys
import wave
from dataclasses import dataclass
from pathlib import Path

import pytest

from device import errors
from device.cli import main
from device.model.contract import MAX_MODEL_BYTES
from device.playback.share_code import SharedPosition
from device.store.store import ModelStore
from device.ui.status_file import FIELDS
from export.remote.pairing import PairingError
from export.remote.ssh import BadHost
from tests.support import faulty_models as unruly
from tests.support import malicious_models as hostile
from tests.support import tiny_model as tiny
from tests.support.fma_archive import write_tables
from training.corpus.format import CorpusError
from training.corpus.generator.soundfont import SoundFontError
from training.evaluation.reference_music import NoHeldOutMusic
from training.run.config import TrainingError


@dataclass(frozen=True)
class Bad:
    """One mistake: the command, the files it finds, and what it answers."""

    command: str
    error: type[errors.SwitchboardError]
    words: tuple[str, ...]
    files: tuple[str, ...] = ()


RENDER = "render --bits 101 --seconds 0.5 --out out.wav --model"
PLAY = "play --model tiny.onnx --seconds 0.5 --speaker wav:out.wav --switches"
SPEAKER = "play --model tiny.onnx --seconds 0.5 --switches demo --speaker"
CONFIG = "play --model tiny.onnx --seconds 0.5 --switches demo --speaker wav:out.wav --config"

SHARE = "render --seconds 0.5 --out out.wav --share"
CODE = SharedPosition("000000", (True,) * 8, seed=1, tempo_bpm=None, still=False, n_slots=7).code
OLD_STATUS = json.dumps({**dict.fromkeys(FIELDS), "written_at": 1.5, "pid": 77})


def _song(folder):
    """A folder with a file in it that is music by its name."""
    folder.mkdir()
    (folder / "song.wav").touch()


# Every file any mistake needs; made where it is asked for.
FILES = {
    "tiny.onnx": tiny.build,
    "text.onnx": lambda path: path.write_text("not a model\n" * 500, encoding="utf-8"),
    "empty.onnx": lambda path: path.touch(),
    "half.onnx": lambda path: path.write_bytes(tiny.build(path).read_bytes()[:6000]),
    "foreign.onnx": tiny.build_foreign,
    "large.onnx": lambda path: os.truncate(_touched(path), MAX_MODEL_BYTES + 1),
    "keyless.onnx": lambda path: tiny.build(path, metadata={"hop_length": None}),
    "moody.onnx": lambda path: tiny.build(path, metadata={"mood": "blue"}),
    "future.onnx": lambda path: tiny.build(path, metadata={"contract_version": "4"}),
    "wordy.onnx": lambda path: tiny.build(path, metadata={"sample_rate": "many"}),
    "shape.onnx": lambda path: tiny.build(path, graph={"n_switches": 4}),
    "echo.onnx": lambda path: tiny.build(path, extra_output=True),
    "golden.onnx": lambda path: tiny.build(path, golden_offset=0.5),
    "loop.onnx": lambda path: hostile.write(hostile.looping(), path),
    "bomb.onnx": lambda path: hostile.write(hostile.constant_bomb(), path),
    "slow.onnx": lambda path: hostile.write(hostile.long_work(n_products=60, side=256), path),
    "spoilt.onnx": lambda path: hostile.write(hostile.spoilt_states(float("nan")), path),
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
    "failing.onnx": unruly.failing_in_one_state,
    "text.wav": lambda path: path.write_text("not a sound\n" * 500, encoding="utf-8"),
    "empty.wav": lambda path: path.touch(),
    "short.wav": lambda path: _wav(path, n_samples=220),
    "silent.wav": lambda path: _wav(path, n_samples=30_000),
    "file": lambda path: path.touch(),
    "folder": lambda path: path.mkdir(),
    "song": _song,
    "fma": write_tables,
}


# What never ends, or waits for somebody.
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


def checked(name, error, *words):
    return Bad(f"models check {name}", error, (name, "refused at", *words), (name,))


def model(name, error, *words):
    return Bad(f"{RENDER} {name}", error, words, (name,))


def script(name, *words):
    return Bad(f"{PLAY} script:{name}", errors.ScriptError, words, ("tiny.onnx", name))


def config(name, *words):
    return Bad(f"{CONFIG} {name}", errors.SettingsError, words, ("tiny.onnx", name))


def study(name, *words):
    files = (name,) if name in FILES else ()
    return Bad(f"study {name} --out report.html", CorpusError, (name, *words), files)


def with_tiny(command, error, *words, files=()):
    return Bad(command, error, words, ("tiny.onnx", *files))


BAD = {
    "missing model": Bad(
        f"{RENDER} none.onnx", errors.ModelNotFound, ("none.onnx", "no model file")
    ),
    "folder as model": model("folder", errors.ModelNotFound, "folder", "no model file"),
    "text as model": model("text.onnx", errors.ModelUnreadable, "text.onnx", "not an ONNX model"),
    "empty model": model("empty.onnx", errors.ModelUnreadable, "empty.onnx", "not an ONNX model"),
    "truncated model": model("half.onnx", errors.ModelUnreadable, "half.onnx", "copy or export"),
    "foreign model": model("foreign.onnx", errors.ContractError, "no contract_version"),
    "oversized model": model("large.onnx", errors.ModelTooLarge, "16,777,217 bytes", "at most"),
    "missing key": model("keyless.onnx", errors.ContractError, "no hop_length", "export the model"),
    "unknown key": model("moody.onnx", errors.ContractError, "unknown key mood"),
    "version": model("future.onnx", errors.ContractError, "found 4, expected 1 or 2 or 3", "newer"),
    "word for number": model("wordy.onnx", errors.ContractError, "sample_rate", "'many'"),
    "other shape": model("shape.onnx", errors.ContractError, "'switches'", "(4)", "(3)"),
    "extra output": model("echo.onnx", errors.ContractError, "extra tensor echo"),
    "wrong golden": model("golden.onnx", errors.GoldenMismatch, "0.5 nepers", "at most 0.001"),
    "broken TOML": config("broken.toml", "broken.toml", "not TOML", "line 1"),
    "binary TOML": config("binary.toml", "binary.toml", "not TOML"),
    "unknown setting": config("unknown.toml", "unknown key sead", "expected only"),
    "wrong setting": config("typed.toml", "seed = 'one'", "integer"),
    "missing settings": with_tiny(
        f"{CONFIG} none.toml", errors.SettingsError, "none.toml", "cannot be read"
    ),
    "missing script": with_tiny(
        f"{PLAY} script:none.txt", errors.ScriptError, "none.txt", "No such file"
    ),
    "three words": script("words.txt", "words.txt:1", "'0 101 now'", "seconds and bits"),
    "no time": script("time.txt", "time.txt:1", "'soon'", "expected seconds"),
    "before the start": script("past.txt", "past.txt:1", "'-1'", "expected seconds from 0 on"),
    "out of order": script("order.txt", "order.txt:3", "found 1 s", "sort the lines"),
    "bits in script": script("bits.txt", "bits.txt:1", "'1010'", "3 characters"),
    "binary script": script("binary.txt", "binary.txt", "not UTF-8"),
    "folder as script": script("folder", "folder", "Is a directory"),
    "long bits": with_tiny(
        "render --model tiny.onnx --out out.wav --bits 1010", errors.BitsError, "'1010'", "3 char"
    ),
    "short bits": with_tiny(
        "render --model tiny.onnx --out out.wav --bits 10", errors.BitsError, "'10'", "3 characters"
    ),
    "other bits": with_tiny(
        "render --model tiny.onnx --out out.wav --bits 10x", errors.BitsError, "'10x'", "0 or 1"
    ),
    "check of nothing": Bad("models check none.onnx", errors.ModelNotFound, ("none.onnx", "size")),
    "check of text": checked("text.onnx", errors.ModelUnreadable, "graph", "not an ONNX file"),
    "check of a loop": checked("loop.onnx", errors.ForbiddenGraph, "graph", "'Loop'"),
    "check of a large file": checked("large.onnx", errors.ModelTooLarge, "size", "at most"),
    "check of a bomb": checked("bomb.onnx", errors.ExaminationFailed, "golden vector", "bad_alloc"),
    "check of NaN": checked("spoilt.onnx", errors.InvalidAudio, "sound", "state 001"),
    "check of sloth": checked("slow.onnx", errors.ModelTooSlow, "speed", "on this machine"),
    "card of nothing": Bad("models show none.onnx", errors.ModelNotFound, ("none.onnx",)),
    "card of text": Bad(
        "models show text.onnx", errors.ModelUnreadable, ("text.onnx",), ("text.onnx",)
    ),
    "unknown model": Bad(
        "models activate 12ab --store store",
        errors.StoreError,
        ("'12ab'", "found none"),
        ("store",),
    ),
    "removal of what plays": Bad(
        "models remove active --store store", errors.StoreError, ("found it active",), ("store",)
    ),
    "refused model": Bad(
        "models activate active --store refusing",
        errors.ModelRefused,
        ("active: refused at history: it hums",),
        ("refusing",),
    ),
    "store in a file": with_tiny(
        "models activate tiny.onnx --store file", errors.OutputError, "file", files=("file",)
    ),
    "music without audio": Bad(
        "corpus folder folder --out corpus", CorpusError, ("folder", "no audio"), ("folder",)
    ),
    "music that is not there": Bad("corpus folder none --out corpus", CorpusError, ("none",)),
    "music in no key": Bad(
        "corpus folder song --key H --out corpus", CorpusError, ("'H'", "C, C#"), ("song",)
    ),
    "archive that is not there": Bad(
        "corpus fma folder --subset small --out corpus",
        CorpusError,
        ("folder/fma_small", "unpack fma_small.zip"),
        ("folder",),
    ),
    "genre that is not there": Bad(
        "corpus fma fma --subset small --genre LoFi --out corpus",
        CorpusError,
        ("'LoFi'", "did you mean Lo-Fi"),
        ("fma",),
    ),
    "licence that is none": Bad(
        "corpus fma fma --subset small --licences GPL --out corpus",
        CorpusError,
        ("'GPL'", "by-sa"),
        ("fma",),
    ),
    "sound font that is not there": Bad(
        "corpus studio --minutes 1 --soundfont none.sf2 --out corpus", SoundFontError, ("none.sf2",)
    ),
    "text as sound font": Bad(
        "corpus studio --minutes 1 --soundfont words.txt --out corpus",
        SoundFontError,
        ("words.txt", "not a sound font"),
        ("words.txt",),
    ),
    "corpus that is not there": Bad("train none --out run --steps 2", CorpusError, ("none",)),
    "host that could be an option": with_tiny(
        "push -- -oProxyCommand=x tiny.onnx", BadHost, "'-oProxyCommand=x'", "a name or an address"
    ),
    "hosts that are not there": with_tiny(
        "push --all-of none.txt tiny.onnx", BadHost, "none.txt", "No such file", "--all-of"
    ),
    "host with a port": with_tiny("push studio:2222 tiny.onnx", BadHost, "`--port 2222`"),
    "model with a long name": Bad(
        f"{RENDER} {'x' * 5000}", errors.ModelNotFound, ("no model file",)
    ),
    "pushing what is no model": Bad(
        "push studio text.onnx", errors.ModelUnreadable, ("text.onnx",), ("text.onnx",)
    ),
    "pushing with a key that is not there": with_tiny(
        "push studio tiny.onnx --identity none", PairingError, "none", "no such key"
    ),
    "pairing with more than a path": Bad(
        "pair studio --store /a;b", PairingError, ("--store", "'/a;b'", "a path from / on")
    ),
    "run that is not there": Bad("export none --out m.onnx", TrainingError, ("none", "no run")),
    "study of nothing": study("none.wav", "no such file"),
    "study of a folder": study("folder", "found a folder"),
    "study of a text": study("text.wav", "unreadable", "expected an audio file"),
    "study of an empty file": study("empty.wav", "unreadable", "expected an audio file"),
    "study of 10 ms": study("short.wav", "found 0.01 s of sound", "at least 1 s"),
    "study of silence": study("silent.wav", "found silence", "expected music"),
    "study to nowhere": Bad(
        "study silent.wav --out none/r.html", errors.OutputError, ("none/r.html",), ("silent.wav",)
    ),
    "study to a folder": Bad(
        "study silent.wav --out folder", errors.OutputError, ("folder",), ("silent.wav", "folder")
    ),
    "audition of nothing": Bad(
        "audition none.onnx --out r.html", errors.ModelNotFound, ("none.onnx",)
    ),
    "audition to nowhere": with_tiny(
        "audition tiny.onnx --out none/r.html", errors.OutputError, "none/r.html", "make it first"
    ),
    "audition onto itself": with_tiny(
        "audition tiny.onnx --out tiny.onnx", errors.OutputError, "tiny.onnx", "another file"
    ),
    "audition against nothing": with_tiny(
        "audition tiny.onnx --out r.html --against none", CorpusError, "none"
    ),
    "gate without music": with_tiny(
        "audition tiny.onnx --out r.html --gate", NoHeldOutMusic, "no held-out music", "--against"
    ),
    "render to nowhere": with_tiny(
        "render --model tiny.onnx --bits 101 --out none/out.wav", errors.OutputError, "none/out.wav"
    ),
    "render to a folder": with_tiny(
        "render --model tiny.onnx --bits 101 --out folder",
        errors.OutputError,
        "folder",
        files=("folder",),
    ),
    "play to nowhere": with_tiny(
        f"{SPEAKER} wav:none/out.wav", errors.OutputError, "none/out.wav", "No such file"
    ),
    "play to no name": with_tiny(f"{SPEAKER} wav:", errors.OutputError, "no file name"),
    "sweep into a file": with_tiny(
        "sweep --model tiny.onnx --out file/states", errors.OutputError, "file", files=("file",)
    ),
    "unknown speaker": with_tiny(f"{SPEAKER} Gramophone", errors.SpeakerUnavailable, "speaker"),
    "misheard share code": Bad(
        f"{SHARE} {CODE[:-1]}{'0' if CODE[-1] != '0' else '1'}",
        errors.ShareCodeError,
        (CODE[:-1], "a wrong, missing or swapped character", "once more"),
    ),
    "share code of a model elsewhere": Bad(
        f"{SHARE} {CODE}", errors.ShareCodeError, ("begins with 000000", "--model")
    ),
    "share code of another file": with_tiny(
        f"{SHARE} {CODE} --model tiny.onnx", errors.ShareCodeError, "begins with 000000"
    ),
    "share code and no file": Bad(
        f"{SHARE} {CODE} --model none.onnx", errors.ModelNotFound, ("none.onnx",)
    ),
    "model that fails": Bad(
        "render --model failing.onnx --bits 11010010 --seconds 1 --out out.wav",
        errors.ModelFailed,
        ("log_magnitude cannot be computed", "play another model"),
        ("failing.onnx",),
    ),
    "status of nobody": Bad(
        "status --file none.json", errors.StatusMissing, ("none.json", "switchboard play")
    ),
    "watched by nobody": Bad(
        "status --json --file file", errors.StatusMissing, ("file",), ("file",)
    ),
    "old status": Bad(
        "status --file old.json", errors.StatusStale, ("old.json", "process 77"), ("old.json",)
    ),
    "status to nowhere": with_tiny(
        f"{SPEAKER} silent --status none/s.json", errors.OutputError, "none/s.json", "--status"
    ),
    "no terminal": with_tiny(
        f"{PLAY} keyboard", errors.SwitchesUnavailable, "keyboard", "not a terminal"
    ),
}


for name in ENDLESS:
    BAD |= {
        f"{name} as model": model(name, errors.ModelNotFound, name, "no model file"),
        f"check of a {name}": Bad(f"models check {name}", errors.ModelNotFound, (name,), (name,)),
        f"card of a {name}": Bad(f"models show {name}", errors.ModelNotFound, (name,), (name,)),
        f"{name} to activate": Bad(
            f"models activate {name} --store store", errors.StoreError, (name,), (name, "store")
        ),
        f"{name} as script": script(name, name, "expected a file"),
        f"{name} as settings": config(name, name, "expected a file"),
        f"{name} as status": Bad(f"status --file {name}", errors.StatusMissing, (name,), (name,)),
        f"pushing a {name}": Bad(f"push studio {name}", errors.ModelNotFound, (name,), (name,)),
        f"{name} of hosts": with_tiny(
            f"push --all-of {name} tiny.onnx", BadHost, name, "expected a file", files=(name,)
        ),
    }


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """An empty folder to make mistakes in, without a terminal and without settings of its own."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("device.config.SEARCHED", ())
    monkeypatch.setattr(sys, "stdin", io.StringIO())
    monkeypatch.setattr("os.isatty", lambda _fd: False)
    return tmp_path


def listing(folder):
    return {path.name: path.stat().st_mtime_ns for path in folder.iterdir()}


@pytest.mark.parametrize("mistake", BAD.values(), ids=BAD)
def test_a_mistake_costs_one_line_and_its_own_exit_code(mistake, folder, capsys):
    for name in mistake.files:
        FILES[name](folder / name)
    before = listing(folder)
    status = main(mistake.command.split())
    out, err = capsys.readouterr()
    assert status == mistake.error.exit_code
    assert (out, err.count("\n")) == ("", 1)
    assert err.startswith("switchboard: ")
    assert [word for word in mistake.words if word not in err] == []
    assert listing(folder) == before


def test_the_table_knows_every_error_a_player_can_cause_on_the_box():
    caused = {mistake.error for mistake in BAD.values()}
    # MissingExtra is a matter of the installation, StoreFull of the disk (see the tests below), and
    # ModelOutOfReach of rights that root does not lack (see tests/device/store).
    on_the_box = {
        error
        for error in errors.SwitchboardError.__subclasses__()
        if error.__module__ == errors.__name__
    }
    assert caused >= on_the_box - {errors.MissingExtra, errors.StoreFull, errors.ModelOutOfReach}


# gpiozero looks for pins once per process and remembers, so each look is a process of its own.
def test_pins_that_are_not_there_cost_one_line_as_well(folder):
    if Path("/dev/gpiochip0").exists():
        pytest.skip("this machine has pins")
    tiny.build(folder / "tiny.onnx")
    before = listing(folder)
    done = _subprocess(f"{PLAY} gpio", "")
    assert done.returncode == errors.SwitchesUnavailable.exit_code
    assert done.stderr.count("\n") == 1
    assert "gpio" in done.stderr
    assert "5, 6, 13, 26, 24, 25, 12, 16" in done.stderr
    # lgpio, which gpiozero tries first, leaves a pipe of its own in the current folder.
    assert {n: t for n, t in listing(folder).items() if not n.startswith(".lgd-nfy")} == before


# A limit on the size of files is the nearest thing to a full disk that needs no disk.
FULL_AFTER = """
import resource
resource.setrlimit(resource.RLIMIT_FSIZE, ({0}, {0}))
"""


@pytest.mark.parametrize(
    ("command", "n_bytes"),
    [
        ("render --model tiny.onnx --bits 101 --seconds 1 --out out.wav", 0),
        ("render --model tiny.onnx --bits 101 --seconds 1 --out out.wav", 20),
        ("play --model tiny.onnx --switches demo --seconds 1 --speaker wav:out.wav", 5000),
    ],
)
def test_a_disk_that_is_full_leaves_nothing_half_written(folder, command, n_bytes):
    tiny.build(folder / "tiny.onnx")
    before = listing(folder)
    done = _subprocess(command, FULL_AFTER.format(n_bytes))
    assert done.returncode == errors.OutputError.exit_code, done.stderr
    assert done.stderr.startswith("switchboard: out.wav: found File too large, expected a writable")
    assert done.stderr.count("\n") == 1
    assert listing(folder) == before


def test_a_disk_without_room_for_a_model_says_so(folder):
    tiny.build(folder / "tiny.onnx")
    done = _subprocess("models activate tiny.onnx --store store", FULL_AFTER.format(5000))
    assert done.returncode == errors.StoreFull.exit_code
    assert "store: found File too large, expected room for a model" in done.stderr
    assert done.stderr.count("\n") == 1
    assert [path.name for path in (folder / "store").iterdir()] == [".lock"]


def test_a_recording_that_fails_leaves_the_one_before_it(folder):
    tiny.build(folder / "tiny.onnx")
    (folder / "out.wav").write_bytes(b"the one before")
    done = _subprocess("render --model tiny.onnx --bits 101 --out out.wav", FULL_AFTER.format(5000))
    assert done.returncode == errors.OutputError.exit_code
    assert (folder / "out.wav").read_bytes() == b"the one before"


def test_a_verb_without_its_packages_says_what_to_install(folder, capsys, monkeypatch):
    def missing():
        raise ModuleNotFoundError("No module named 'torch'", name="torch")

    monkeypatch.setattr("importlib.metadata.EntryPoint.load", lambda _self: missing())
    assert main(["train"]) == errors.MissingExtra.exit_code
    err = capsys.readouterr().err
    assert err.count("\n") == 1
    assert "pip install 'lofi-switchboard[training]'" in err


@pytest.mark.parametrize(
    ("command", "words"),
    [
        ("plays", "No such command 'plays'"),
        ("play --sead 1", "No such option"),
        ("play --seed -1", "-1 is not in the range"),
        ("play --tape 2", "2.0 is not in the range"),
        ("play --quantize bars", "'bars' is not one of"),
        ("export run --quantize int4", "'int4' is not one of"),
        ("push {tiny}", "at least one HOST before MODEL"),
        ("push", "Missing argument 'HOST... MODEL'"),
        ("push studio {tiny} --port 70000", "70000 is not in the range"),
        ("pair", "Missing argument 'HOST'"),
        ("play --model {tiny} --switches theremin", "found 'theremin', expected auto, gpio"),
        ("render --out x.wav", "Missing option '--bits' or '--share'"),
        (f"render --out x.wav --share {CODE} --bits 1", "--share contains what --bits sets"),
        (f"play --share {CODE} --seed 2", "--share contains what --seed sets"),
        ("bench --seconds nan", "nan is not a finite number"),
        ("train corpus --out run --minutes nan", "nan is not a finite number"),
        ("corpus studio --minutes inf --out corpus", "inf is not a finite number"),
        ("render --bits 101 --out x.wav --seconds inf", "inf is not a finite number"),
    ],
)
def test_a_wrong_command_line_is_explained_with_status_two(
    folder, tiny_model, capsys, command, words
):
    status = main(command.format(tiny=tiny_model).split())
    assert status == 2
    assert words in capsys.readouterr().err
    assert list(folder.iterdir()) == []


def _subprocess(command, prelude):
    # -B: a module cache that is cut off by the limit would be found broken by everybody after us.
    code = f"import sys\nfrom device.cli import main\n{prelude}\nsys.exit(main(sys.argv[1:]))"
    return subprocess.run(
        [sys.executable, "-B", "-c", code, *command.split()],
        capture_output=True,
        text=True,
        check=False,
        stdin=subprocess.DEVNULL,
    )
