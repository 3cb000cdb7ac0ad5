"""Every error that a user can cause with a verb: the command, its files and its error."""

from dataclasses import dataclass

from device import errors
from device.playback.share_code import SharedPosition
from export.remote.pairing import PairingError
from export.remote.ssh import BadHost
from tests.support.invalid_files import ENDLESS, FILES
from training.corpus.format import CorpusError
from training.corpus.generator.soundfont import SoundFontError
from training.evaluation.reference_music import TooLittleMusic
from training.run.config import TrainingError


@dataclass(frozen=True)
class InvalidCommand:
    """A command that fails.

    Attributes
    ----------
    error : type
        The error it fails with.
    words : tuple of str
        Parts of the error's text.
    files : tuple of str
        Files that are made before it runs, by their names in `FILES`.
    """

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


def checked(name, error, *words):
    return InvalidCommand(f"models check {name}", error, (name, "refused at", *words), (name,))


def model(name, error, *words):
    return InvalidCommand(f"{RENDER} {name}", error, words, (name,))


def script(name, *words):
    return InvalidCommand(f"{PLAY} script:{name}", errors.ScriptError, words, ("tiny.onnx", name))


def config(name, *words):
    return InvalidCommand(f"{CONFIG} {name}", errors.SettingsError, words, ("tiny.onnx", name))


def study(name, *words):
    files = (name,) if name in FILES else ()
    return InvalidCommand(f"study {name} --out report.html", CorpusError, (name, *words), files)


def with_tiny(command, error, *words, files=()):
    return InvalidCommand(command, error, words, ("tiny.onnx", *files))


INVALID_COMMANDS = {
    "missing model": InvalidCommand(
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
    "version": model(
        "future.onnx", errors.ContractError, "found 6, expected 1 or 2 or 3 or 4 or 5", "newer"
    ),
    "word instead of a number": model("wordy.onnx", errors.ContractError, "sample_rate", "'many'"),
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
    "word instead of a time": script("time.txt", "time.txt:1", "'soon'", "expected seconds"),
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
    "bits that are not 0 or 1": with_tiny(
        "render --model tiny.onnx --out out.wav --bits 10x", errors.BitsError, "'10x'", "0 or 1"
    ),
    "check of a missing model": InvalidCommand(
        "models check none.onnx", errors.ModelNotFound, ("none.onnx", "size")
    ),
    "check of a text": checked("text.onnx", errors.ModelUnreadable, "graph", "not an ONNX file"),
    "check of a loop": checked("loop.onnx", errors.ForbiddenGraph, "graph", "'Loop'"),
    "check of a large file": checked("large.onnx", errors.ModelTooLarge, "size", "at most"),
    "check of a bomb": checked("bomb.onnx", errors.ExaminationFailed, "golden vector", "bad_alloc"),
    "check of a model with NaN": checked("spoilt.onnx", errors.InvalidAudio, "sound", "state 001"),
    "check of a slow model": checked("slow.onnx", errors.ModelTooSlow, "speed", "on this machine"),
    "summary of a missing model": InvalidCommand(
        "models show none.onnx", errors.ModelNotFound, ("none.onnx",)
    ),
    "summary of a text": InvalidCommand(
        "models show text.onnx", errors.ModelUnreadable, ("text.onnx",), ("text.onnx",)
    ),
    "unknown model in the store": InvalidCommand(
        "models activate 12ab --store store",
        errors.StoreError,
        ("'12ab'", "found none"),
        ("store",),
    ),
    "removal of the active model": InvalidCommand(
        "models remove active --store store", errors.StoreError, ("found it active",), ("store",)
    ),
    "refused model": InvalidCommand(
        "models activate active --store refusing",
        errors.ModelRefused,
        ("active: refused at history: it hums",),
        ("refusing",),
    ),
    "store in a file": with_tiny(
        "models activate tiny.onnx --store file", errors.OutputError, "file", files=("file",)
    ),
    "music without audio": InvalidCommand(
        "corpus folder folder --out corpus", CorpusError, ("folder", "no audio"), ("folder",)
    ),
    "missing music": InvalidCommand("corpus folder none --out corpus", CorpusError, ("none",)),
    "unknown key of music": InvalidCommand(
        "corpus folder song --key H --out corpus", CorpusError, ("'H'", "C, C#"), ("song",)
    ),
    "missing archive": InvalidCommand(
        "corpus fma folder --subset small --out corpus",
        CorpusError,
        ("folder/fma_small", "unpack fma_small.zip"),
        ("folder",),
    ),
    "unknown genre": InvalidCommand(
        "corpus fma fma --subset small --genre LoFi --out corpus",
        CorpusError,
        ("'LoFi'", "did you mean Lo-Fi"),
        ("fma",),
    ),
    "unknown licence": InvalidCommand(
        "corpus fma fma --subset small --licences GPL --out corpus",
        CorpusError,
        ("'GPL'", "by-sa"),
        ("fma",),
    ),
    "missing sound font": InvalidCommand(
        "corpus studio --minutes 1 --soundfont none.sf2 --out corpus", SoundFontError, ("none.sf2",)
    ),
    "text as sound font": InvalidCommand(
        "corpus studio --minutes 1 --soundfont words.txt --out corpus",
        SoundFontError,
        ("words.txt", "not a sound font"),
        ("words.txt",),
    ),
    "missing corpus": InvalidCommand("train none --out run --steps 2", CorpusError, ("none",)),
    "host that looks like an option": with_tiny(
        "push -- -oProxyCommand=x tiny.onnx", BadHost, "'-oProxyCommand=x'", "a name or an address"
    ),
    "missing list of hosts": with_tiny(
        "push --all-of none.txt tiny.onnx", BadHost, "none.txt", "No such file", "--all-of"
    ),
    "host with a port": with_tiny("push studio:2222 tiny.onnx", BadHost, "`--port 2222`"),
    "model with a long name": InvalidCommand(
        f"{RENDER} {'x' * 5000}", errors.ModelNotFound, ("no model file",)
    ),
    "pushing a text": InvalidCommand(
        "push studio text.onnx", errors.ModelUnreadable, ("text.onnx",), ("text.onnx",)
    ),
    "pushing with a missing key": with_tiny(
        "push studio tiny.onnx --identity none", PairingError, "none", "no such key"
    ),
    "pairing with a command in the path": InvalidCommand(
        "pair studio --store /a;b", PairingError, ("--store", "'/a;b'", "a path from / on")
    ),
    "missing run": InvalidCommand("export none --out m.onnx", TrainingError, ("none", "no run")),
    "study of a missing file": study("none.wav", "no such file"),
    "study of a folder": study("folder", "found a folder"),
    "study of a text": study("text.wav", "unreadable", "expected an audio file"),
    "study of an empty file": study("empty.wav", "unreadable", "expected an audio file"),
    "study of 10 ms": study("short.wav", "found 0.01 s of sound", "at least 1 s"),
    "study of silence": study("silent.wav", "found silence", "expected music"),
    "study into a missing folder": InvalidCommand(
        "study silent.wav --out none/r.html", errors.OutputError, ("none/r.html",), ("silent.wav",)
    ),
    "study to a folder": InvalidCommand(
        "study silent.wav --out folder", errors.OutputError, ("folder",), ("silent.wav", "folder")
    ),
    "audition of a missing model": InvalidCommand(
        "audition none.onnx --out r.html", errors.ModelNotFound, ("none.onnx",)
    ),
    "audition into a missing folder": with_tiny(
        "audition tiny.onnx --out none/r.html", errors.OutputError, "none/r.html", "make it first"
    ),
    "audition onto itself": with_tiny(
        "audition tiny.onnx --out tiny.onnx", errors.OutputError, "tiny.onnx", "another file"
    ),
    "audition against a missing corpus": with_tiny(
        "audition tiny.onnx --out r.html --against none", CorpusError, "none"
    ),
    "gate without music": with_tiny(
        "audition tiny.onnx --out r.html --gate", TooLittleMusic, "no held-out music", "--against"
    ),
    "faceplate of a missing model": InvalidCommand(
        "faceplate none.onnx", errors.ModelNotFound, ("none.onnx",)
    ),
    "faceplate into a missing folder": with_tiny(
        "faceplate tiny.onnx --out none/f.pdf", errors.OutputError, "none/f.pdf", "make it first"
    ),
    "faceplate onto its model": InvalidCommand(
        "faceplate file --out file", errors.OutputError, ("file", "another file"), ("file",)
    ),
    "render into a missing folder": with_tiny(
        "render --model tiny.onnx --bits 101 --out none/out.wav", errors.OutputError, "none/out.wav"
    ),
    "render to a folder": with_tiny(
        "render --model tiny.onnx --bits 101 --out folder",
        errors.OutputError,
        "folder",
        files=("folder",),
    ),
    "play into a missing folder": with_tiny(
        f"{SPEAKER} wav:none/out.wav", errors.OutputError, "none/out.wav", "No such file"
    ),
    "play to an empty name": with_tiny(f"{SPEAKER} wav:", errors.OutputError, "no file name"),
    "sweep into a file": with_tiny(
        "sweep --model tiny.onnx --out file/states", errors.OutputError, "file", files=("file",)
    ),
    "panel at another machine's address": InvalidCommand(
        "panel --listen 192.0.2.250 --token-file token",
        errors.PanelError,
        ("192.0.2.250, port 8077", "choose another --port or --listen"),
    ),
    "unknown speaker": with_tiny(f"{SPEAKER} Gramophone", errors.SpeakerUnavailable, "speaker"),
    "misspelt share code": InvalidCommand(
        f"{SHARE} {CODE[:-1]}{'0' if CODE[-1] != '0' else '1'}",
        errors.ShareCodeError,
        (CODE[:-1], "a wrong, missing or swapped character", "check the code"),
    ),
    "log of a performance that is a model": InvalidCommand(
        "render --out out.wav --performance tiny.onnx",
        errors.PerformanceError,
        ("tiny.onnx, line 1", "expected JSON"),
        ("tiny.onnx",),
    ),
    "missing log of a performance": InvalidCommand(
        "render --out out.wav --performance none.jsonl",
        errors.PerformanceError,
        ("none.jsonl", "check the name"),
    ),
    "kept music that is not there": InvalidCommand(
        "kept remove 2026 --folder none", errors.KeptError, ("'2026'", "none", "kept list")
    ),
    "share code of a missing model": InvalidCommand(
        f"{SHARE} {CODE}", errors.ShareCodeError, ("begins with 000000", "--model")
    ),
    "share code of another file": with_tiny(
        f"{SHARE} {CODE} --model tiny.onnx", errors.ShareCodeError, "begins with 000000"
    ),
    "share code and a missing model": InvalidCommand(
        f"{SHARE} {CODE} --model none.onnx", errors.ModelNotFound, ("none.onnx",)
    ),
    "model that fails": InvalidCommand(
        "render --model failing.onnx --bits 11010010 --seconds 1 --out out.wav",
        errors.ModelFailed,
        ("log_magnitude cannot be computed", "play another model"),
        ("failing.onnx",),
    ),
    "missing status file": InvalidCommand(
        "status --file none.json", errors.StatusMissing, ("none.json", "switchboard play")
    ),
    "empty status file": InvalidCommand(
        "status --json --file file", errors.StatusMissing, ("file",), ("file",)
    ),
    "old status": InvalidCommand(
        "status --file old.json", errors.StatusStale, ("old.json", "process 77"), ("old.json",)
    ),
    "status into a missing folder": with_tiny(
        f"{SPEAKER} silent --status none/s.json", errors.OutputError, "none/s.json", "--status"
    ),
    "no terminal": with_tiny(
        f"{PLAY} keyboard", errors.SwitchesUnavailable, "keyboard", "not a terminal"
    ),
}


for name in ENDLESS:
    INVALID_COMMANDS |= {
        f"{name} as model": model(name, errors.ModelNotFound, name, "no model file"),
        f"check of a {name}": InvalidCommand(
            f"models check {name}", errors.ModelNotFound, (name,), (name,)
        ),
        f"summary of a {name}": InvalidCommand(
            f"models show {name}", errors.ModelNotFound, (name,), (name,)
        ),
        f"{name} to activate": InvalidCommand(
            f"models activate {name} --store store", errors.StoreError, (name,), (name, "store")
        ),
        f"{name} as script": script(name, name, "expected a file"),
        f"{name} as settings": config(name, name, "expected a file"),
        f"{name} as status": InvalidCommand(
            f"status --file {name}", errors.StatusMissing, (name,), (name,)
        ),
        f"pushing a {name}": InvalidCommand(
            f"push studio {name}", errors.ModelNotFound, (name,), (name,)
        ),
        f"{name} of hosts": with_tiny(
            f"push --all-of {name} tiny.onnx", BadHost, name, "expected a file", files=(name,)
        ),
    }
