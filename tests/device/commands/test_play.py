"""The verbs, run as a player runs them, on the tiny model."""

import io
import json
import os
import subprocess
import sys
import time
import wave
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from device.cli import main
from device.commands.play import play
from device.config import find_settings, load_settings
from device.errors import OutputError, SettingsError
from device.files import sha256_of
from device.playback.share_code import SharedPosition
from device.store.store import ModelStore
from device.switches.pinout import DEFAULT_PINS
from device.synthesis.griffin_lim import GriffinLim
from device.synthesis.transport import Transport
from device.ui.status_file import status_of
from tests.support.instrument_state import snapshot

RATE = 22050
SCRIPT = "0 100\n0.4 110  # more\n\n0.8 011\n"

REPORT_KEYS = {
    "seconds",
    "n_flips",
    "switch_to_sample_p50_ms",
    "switch_to_sample_p99_ms",
    "inversion_halfway_ms",
    "inversion_latency_ms",
    "speaker_latency_ms",
    "block_p50_ms",
    "block_p99_ms",
    "block_max_ms",
    "block_deadline_ms",
    "missed_deadlines",
    "passes_lowered",
    "underruns",
}


@pytest.fixture(autouse=True)
def own_folder(tmp_path, monkeypatch):
    """Every verb runs in an empty folder, without a terminal and without the box's settings."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("device.config.SEARCHED", (Path("switchboard.toml"),))
    monkeypatch.setattr(sys, "stdin", io.StringIO())


@pytest.fixture
def run(tiny_model, capsys):
    """Runs a verb on the tiny model and gives what it printed."""

    def run(verb, *args, status=0):
        assert main([verb, "--model", str(tiny_model), *map(str, args)]) == status
        return capsys.readouterr().out

    return run


@pytest.fixture
def run_json(run):
    return lambda *args, **options: json.loads(run(*args, "--json", **options))


@pytest.fixture
def script(tmp_path):
    path = tmp_path / "flips.txt"
    path.write_text(SCRIPT, encoding="utf-8")
    return f"script:{path}"


def samples_of(path):
    with wave.open(str(path)) as recording:
        assert recording.getparams()[:3] == (1, 2, RATE)
        return np.frombuffer(recording.readframes(recording.getnframes()), "<i2") / 32767


def test_playing_a_script_into_a_file_gives_the_same_bytes_every_time(run, script):
    for name in ("one.wav", "two.wav"):
        run("play", "--switches", script, "--speaker", f"wav:{name}", "--seconds", 1.2)
    assert Path("one.wav").read_bytes() == Path("two.wav").read_bytes()
    assert len(samples_of("one.wav")) == round(1.2 * RATE)


def test_another_seed_gives_another_file(run, script):
    for seed in (1, 2):
        speaker = f"wav:{seed}.wav"
        run("play", "--switches", script, "--speaker", speaker, "--seconds", 1, "--seed", seed)
    assert Path("1.wav").read_bytes() != Path("2.wav").read_bytes()


def test_play_reports_in_one_object_of_json(run_json, script):
    facts = run_json("play", "--switches", script, "--speaker", "wav:x.wav", "--seconds", 1)
    assert set(facts) == REPORT_KEYS | {"speaker", "switches"}
    assert (facts["speaker"], facts["switches"], facts["n_flips"]) == ("x.wav", script, 2)
    assert facts["seconds"] == 1.0
    assert facts["switch_to_sample_p99_ms"] >= facts["switch_to_sample_p50_ms"] > 0


def test_play_tells_a_person_the_same_in_one_line(run, script):
    said = run("play", "--switches", script, "--speaker", "wav:x.wav", "--seconds", 1)
    assert said.count("\n") == 1
    assert said.startswith("1.0 s played on x.wav; 2 flips, switch to first sample p50 ")


def test_without_a_terminal_the_demo_plays_and_ends_by_itself(run_json):
    facts = run_json("play", "--speaker", "wav:demo.wav")
    assert (facts["switches"], facts["seconds"], facts["n_flips"]) == ("demo", 20.0, 6)
    assert len(samples_of("demo.wav")) == 20 * RATE


def test_a_quantised_performance_is_another_one(run, script):
    for quantize in ("off", "beat"):
        speaker = ["--speaker", f"wav:{quantize}.wav", "--seconds", 1]
        run("play", "--switches", script, *speaker, "--quantize", quantize)
    one, other = samples_of("off.wav"), samples_of("beat.wav")
    departs = np.flatnonzero(one != other)[0] / RATE
    assert 0.4 <= departs < 0.45


def test_the_silent_speaker_keeps_real_time_and_has_a_latency(run_json, script):
    facts = run_json("play", "--switches", script, "--speaker", "silent", "--seconds", 0.5)
    assert (facts["speaker"], facts["speaker_latency_ms"]) == ("silent", 60.0)


def test_render_writes_one_state_as_long_as_asked(run):
    said = run("render", "--bits", "101", "--seconds", 1.5, "--out", "state.wav")
    assert said.startswith("state.wav: 1.5 s, ")
    samples = samples_of("state.wav")
    assert len(samples) == round(1.5 * RATE)
    assert 0.01 < samples.std() < 0.5
    assert samples[-1] == 0


def test_render_takes_the_options_of_the_music(run):
    plain = ["render", "--bits", "101", "--seconds", 0.5]
    run(*plain, "--out", "plain.wav")
    for number, option in enumerate(
        [["--seed", 2], ["--tempo", 90], ["--tape", 1], ["--gain", -6]]
    ):
        run(*plain, "--out", f"{number}.wav", *option)
        assert not np.array_equal(samples_of("plain.wav"), samples_of(f"{number}.wav"))


def test_sweep_renders_and_measures_every_state(run_json):
    facts = run_json("sweep", "--out", "all/states", "--seconds", 1)
    names = [f"{n:03b}" for n in range(8)]
    assert [row["bits"] for row in facts["states"]] == names
    assert sorted(p.name for p in Path("all/states").iterdir()) == [f"{n}.wav" for n in names]
    assert set(facts) == {"n_states", "n_silent", "n_loud", "n_not_finite", "n_alike", "states"}
    assert (facts["n_states"], facts["n_silent"], facts["n_not_finite"]) == (8, 0, 0)
    assert set(facts["states"][0]) == {
        "bits",
        "lufs",
        "true_peak_db",
        "silent_share",
        "is_finite",
        "nearest",
        "nearest_db",
    }
    assert all(row["nearest"] != row["bits"] for row in facts["states"])
    assert all(-35 < row["lufs"] < 0 for row in facts["states"])


def test_sweep_says_which_states_nobody_can_tell_apart_or_hear(run_json):
    facts = run_json("sweep", "--out", "quiet", "--seconds", 1, "--gain", -60, "--tape", 0)
    assert (facts["n_silent"], facts["n_alike"], facts["n_loud"]) == (8, 8, 0)


def test_sweep_as_a_table_has_a_line_for_each_state_and_a_sum(run):
    lines = run("sweep", "--out", "all", "--seconds", 1).splitlines()
    assert [line.split()[0] for line in lines[1:-1]] == [f"{n:03b}" for n in range(8)]
    assert lines[-1].startswith("8 states: 0 silent")


def test_bench_measures_what_the_instrument_costs(run_json):
    facts = run_json("bench", "--seconds", 1)
    wanted = {"core_percent", "compose_percent", "render_percent", "inversion_percent"}
    assert set(facts) >= REPORT_KEYS | wanted | {"rest_percent", "resident_mb", "score_misses"}
    parts = [facts[f"{name}_percent"] for name in ("compose", "render", "inversion", "rest")]
    assert sum(parts) == pytest.approx(facts["core_percent"], abs=0.01)
    assert facts["seconds"] == 1.0
    assert facts["resident_mb"] > 10


def test_bench_as_a_table_leaves_out_what_was_not_measured(run):
    said = run("bench", "--seconds", 1)
    assert "missed deadlines   " in said
    assert "switch to sample   p50 - ms, p99 - ms (0 flips)" in said


def test_doctor_looks_at_everything_and_finds_the_model_good(run_json):
    findings = {finding["what"]: finding for finding in run_json("doctor")}
    assert list(findings)[:3] == ["Python", "packages", "configuration"]
    assert list(findings)[-4:] == ["PortAudio", "sound cards", "pins", "model"]
    assert findings["model"]["verdict"] == "good"
    assert "3 switches, 22050 Hz" in findings["model"]["found"]
    assert all(f["verdict"] in ("good", "note") for f in findings.values())
    assert all(
        f["remedy"] or f["verdict"] == "good" or f["what"] in ("board", "pins")
        for f in findings.values()
    )


def test_doctor_ends_with_status_one_where_the_instrument_could_not_play(run_json, build_model):
    findings = run_json("doctor", "--model", build_model(golden_offset=1.0), status=1)
    assert findings[-1]["verdict"] == "bad"
    assert "golden vector" in findings[-1]["found"]


def test_doctor_speaks_to_people_line_by_line(run):
    assert run("doctor").splitlines()[0].startswith("good  Python: 3.")


def test_doctor_looks_at_the_box_as_it_is_configured(run_json):
    config = settings_file("pins = [5, 5]\nspeaker = 'no such card'\n")
    found = {f["what"]: f for f in run_json("doctor", "--config", config, status=1)}
    assert found["configuration"]["found"] == "box.toml"
    assert found["wiring"]["found"] == "BCM 5 is used twice"
    assert found["sound cards"]["verdict"] == "note"


def test_doctor_goes_on_where_the_configuration_is_broken(run_json):
    config = settings_file("sead = 1\n")
    found = {f["what"]: f for f in run_json("doctor", "--config", config, status=1)}
    assert found["configuration"]["verdict"] == "bad"
    assert "unknown key sead" in found["configuration"]["found"]
    assert found["model"]["verdict"] == "good"


def test_doctor_draws_the_wiring_of_the_configuration(run, run_json):
    config = settings_file("pins = [5, 6]\nled_beat = 22\n")
    said = run("doctor", "--config", config, "--wiring", "panel.svg")
    assert "BCM  5   header pin 29   to GND" in said
    assert "LED: beat" in Path("panel.svg").read_text(encoding="utf-8")
    rows = run_json("doctor", "--config", config, "--wiring", "panel.svg")
    assert [row[1] for row in rows] == ["5", "6", "22"]
    run("doctor", "--wiring", "no such folder/panel.svg", status=OutputError.exit_code)


def test_doctor_shows_the_switches_as_their_pins_see_them():
    code = "import sys; from device.cli import main; sys.exit(main())"
    words = ["doctor", "--pins", "--seconds", "0.5", "--json", "--config", os.devnull]
    done = subprocess.run(
        [sys.executable, "-c", code, *words],
        env={**os.environ, "GPIOZERO_PIN_FACTORY": "mock"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    rows = json.loads(done.stdout)
    assert [row["bcm"] for row in rows] == list(DEFAULT_PINS)
    assert {row["verdict"] for row in rows} == {"flip it"}


def test_the_cards_are_listed_by_name(run, monkeypatch):
    monkeypatch.setattr("device.audio.sound_card.list_cards", lambda: ["Headphones", "USB DAC"])
    assert run("play", "--speaker", "list").splitlines() == ["Headphones", "USB DAC"]


@pytest.mark.parametrize("verb", ["play", "render", "sweep", "bench", "doctor"])
def test_every_verb_explains_itself(verb, capsys):
    assert main([verb, "--help"]) == 0
    assert f"{verb} [OPTIONS]" in capsys.readouterr().out


def test_the_command_tells_its_version_and_its_verbs(capsys):
    assert main(["--version"]) == 0
    assert main(["--help"]) == 0
    said = capsys.readouterr().out
    assert "switchboard, version " in said
    assert all(f"\n  {verb} " in said for verb in ("play", "render", "sweep", "bench", "doctor"))


def settings_file(text, name="box.toml"):
    Path(name).write_text(text, encoding="utf-8")
    return Path(name)


def test_settings_change_the_defaults(run_json, script):
    config = settings_file(
        f'switches = "{script}"\nspeaker = "wav:set.wav"\nseed = 5\nquantize = "beat"\n'
        "still = true\npins = [5, 6]\ntempo = 90\ntape = 0.5\n"
    )
    facts = run_json("play", "--config", config, "--seconds", 0.5)
    assert (facts["speaker"], facts["switches"]) == ("set.wav", script)


def test_the_command_line_wins_over_the_settings(run, script):
    config = settings_file(f'switches = "{script}"\nseed = 5\nspeaker = "wav:five.wav"\n')
    run("play", "--config", config, "--seconds", 0.5)
    run("play", "--config", config, "--seconds", 0.5, "--seed", 1, "--speaker", "wav:one.wav")
    run("play", "--switches", script, "--seconds", 0.5, "--speaker", "wav:plain.wav")
    assert Path("one.wav").read_bytes() == Path("plain.wav").read_bytes()
    assert Path("one.wav").read_bytes() != Path("five.wav").read_bytes()


def test_settings_in_the_current_folder_are_found_unasked(run_json, script):
    settings_file('speaker = "wav:found.wav"\n', "switchboard.toml")
    assert find_settings() == Path("switchboard.toml")
    facts = run_json("play", "--switches", script, "--seconds", 0.5)
    assert facts["speaker"] == "found.wav"


def test_without_a_settings_file_there_are_no_settings():
    assert find_settings() is None


def test_settings_are_converted_as_on_the_command_line():
    config = settings_file('model = "m.onnx"\npins = [5, 6]\ngain = -6\nstill = false\n')
    found = load_settings(config, play)
    assert found == {"model": Path("m.onnx"), "pins": (5, 6), "gain": -6.0, "still": False}


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("sead = 1", r"box\.toml: found the unknown key sead; expected only active_high, gain, "),
        ("seconds = 5", r"found the unknown key seconds"),
        ("config = 'x'", r"found the unknown key config"),
        ("as_json = true", r"found the unknown key as_json"),
        ("[music]\nseed = 1", r"found the unknown key music"),
        ("seed 1", r"not TOML: .*line 1.*; mend that line"),
        ("seed = 1\nseed = 2", r"not TOML: Cannot overwrite a value"),
        ("seed = -1", r"seed = -1: expected -1 is not in the range x>=0"),
        ('seed = "one"', r"seed = 'one': expected an integer"),
        ("seed = true", r"seed = True: expected an integer"),
        ("seed = [1]", r"seed = \[1\]: expected a single value"),
        ("pins = 5", r"pins = 5: expected a list"),
        ('pins = ["five"]', r"pins = \['five'\]: expected a list, each an integer"),
        ("still = 1", r"still = 1: expected true or false"),
        ('quantize = "bars"', r"quantize = 'bars': expected 'bars' is not one of"),
        ("tempo = 1000", r"tempo = 1000: expected 1000.* is not in the range"),
        ("tape = nan", r"tape = nan: expected"),
    ],
)
def test_settings_that_do_not_fit_are_refused_with_the_key_named(text, said):
    with pytest.raises(SettingsError, match=said):
        load_settings(settings_file(text), play)


def test_settings_that_are_missing_or_not_text_are_refused():
    with pytest.raises(SettingsError, match=r"none\.toml: cannot be read .*check --config"):
        load_settings(Path("none.toml"), play)
    Path("bytes.toml").write_bytes(b"seed = \xff")
    with pytest.raises(SettingsError, match=r"bytes\.toml: not TOML"):
        load_settings(Path("bytes.toml"), play)


@pytest.fixture
def tiny_digest(tiny_model):
    return sha256_of(tiny_model)[:6]


def shared(tiny_digest, **changes):
    place = SharedPosition(tiny_digest, (True, False, True), 5, None, still=False, n_slots=43)
    return replace(place, **changes).code


def test_a_share_code_draws_the_very_frames_that_were_heard_there(run, tiny_digest, network):
    heard, frames = Ear(), Ear()
    options = ["--seconds", 3, "--out", "x.wav", "--tape", 0]
    with frames:
        run("render", "--share", shared(tiny_digest, n_slots=43), *options)
    with heard:
        run("render", "--bits", "101", "--seed", 5, "--seconds", 9, *options[2:])
    first = Transport.of(network.card).frame_at(43 / 4)
    n_frames = round(2.9 * RATE / 64)
    assert np.array_equal(frames.frames[:n_frames], heard.frames[first : first + n_frames])


def test_a_share_code_is_the_same_samples_every_time(run, tiny_digest):
    code = shared(tiny_digest, tempo_bpm=90.0, still=True)
    for name in ("one.wav", "two.wav"):
        run("render", "--share", code, "--seconds", 1, "--out", name)
    assert Path("one.wav").read_bytes() == Path("two.wav").read_bytes()


def test_what_a_share_code_sounds_like_is_what_was_heard_there(run, tiny_digest):
    """But for the phases, which an inversion finds by what it has played before."""
    options = ["--tape", 0, "--out"]
    run("render", "--share", shared(tiny_digest), "--seconds", 3, *options, "shared.wav")
    run("render", "--bits", "101", "--seed", 5, "--seconds", 9, *options, "heard.wav")
    start = Transport(64 / RATE, 120.0, 4).frame_at(43 / 4) * 64
    shared_there, heard = samples_of("shared.wav"), samples_of("heard.wav")
    a_16th = round(RATE * 60 / 120 / 4)
    assert distance_db(shared_there, heard[start:]) < -10
    assert distance_db(shared_there, heard[start + a_16th :]) > -5


def test_play_begins_where_a_share_code_says_with_its_switches(run, run_json, tiny_digest):
    speaker = ["--speaker", "wav:x.wav", "--seconds", 1]
    facts = run_json("play", "--share", shared(tiny_digest), *speaker)
    assert (facts["switches"], facts["n_flips"]) == ("demo", 0)
    run("render", "--share", shared(tiny_digest), "--seconds", 1, "--out", "y.wav")
    assert np.array_equal(samples_of("x.wav")[: RATE // 2], samples_of("y.wav")[: RATE // 2])


def test_a_script_decides_whatever_the_share_code_says(tiny_model, tiny_digest, script, capsys):
    args = ["play", "--model", str(tiny_model), "--share", shared(tiny_digest)]
    assert main([*args, "--switches", script, "--speaker", "silent", "--seconds", "0.2"]) == 0
    assert "the switches take precedence; the share code has them at 101" in capsys.readouterr().err


def test_the_model_of_a_share_code_is_found_in_the_store(tiny_model, tiny_digest, tmp_path):
    store = ModelStore(tmp_path / "models", reserve_bytes=0)
    store.add(tiny_model)
    args = ["play", "--store", str(store.directory), "--share", shared(tiny_digest)]
    assert main([*args, "--speaker", "wav:x.wav", "--seconds", "0.5"]) == 0
    assert len(samples_of("x.wav")) == RATE // 2


def test_play_takes_over_what_becomes_active_in_its_store(tiny_model, tmp_path, capsys):
    store = ModelStore(tmp_path / "models", reserve_bytes=0)
    store.activate(store.add(tiny_model))
    args = ["play", "--store", str(store.directory), "--switches", "demo"]
    assert main([*args, "--speaker", "wav:x.wav", "--seconds", "0.5"]) == 0
    assert len(samples_of("x.wav")) == RATE // 2
    assert store._starts.n_of(store.active().stem) == 0
    assert capsys.readouterr().err == ""


def test_status_tells_a_person_how_it_goes(tmp_path, capsys):
    path = tmp_path / "status.json"
    refusal = {"digest": "ef" * 32, "reason": "too loud", "at": 1_700_000_000.0}
    facts = {
        **status_of(snapshot(bar=3, n_underruns=2, sounding=(False, False)), origin="store"),
        "written_at": time.time(),
        "pid": 1,
        "uptime_seconds": 3700.0,
        "temperature_celsius": 51.4,
        "last_refusal": refusal,
        "helpers": {"wings": {"n_faults": 3, "n_restarts": 2, "latest": "OSError: broken"}},
    }
    path.write_text(json.dumps(facts), encoding="utf-8")
    assert main(["status", "--file", str(path)]) == 0
    said = capsys.readouterr().out
    for words in (
        "Rain  (store, abababababab)",
        "10, still 00  (warmth)",
        "bar 4.1 at 76 bpm",
        "after 123 ms, 99 of 100 after 127 ms",
        "2 underruns, 0 late blocks",
        "1 passes, lowered 0 times",
        "51 °C",
        "up 1:01:40",
        "efefefefefef",
        "too loud",
        "wings: 3 faults, started again 2 times; latest: OSError: broken",
        facts["share"],
    ):
        assert words in said
    assert main(["status", "--json", "--file", str(path)]) == 0
    assert json.loads(capsys.readouterr().out) == facts


class Ear:
    """Hears the frames that inversions are handed, while it is held."""

    def __enter__(self):
        self._process, self._frames = GriffinLim.process, []
        ear = self

        def process(inversion, magnitudes):
            ear._frames.extend(magnitudes.copy())
            return ear._process(inversion, magnitudes)

        GriffinLim.process = process
        return self

    def __exit__(self, *_):
        GriffinLim.process = self._process

    @property
    def frames(self):
        return np.array(self._frames)


def distance_db(one, other):
    """How far two recordings' spectra are apart, once they have begun."""
    windows = [
        np.lib.stride_tricks.sliding_window_view(samples[RATE // 4 : 2 * RATE], 1024)[::256]
        for samples in (one, other)
    ]
    spectra = [np.abs(np.fft.rfft(window * np.hanning(1024))) for window in windows]
    distance = np.linalg.norm(spectra[0] - spectra[1]) / np.linalg.norm(spectra[1])
    return 20 * np.log10(distance)
