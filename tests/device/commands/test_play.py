"""`switchboard play` on the tiny model."""

from pathlib import Path

import numpy as np
import pytest

from device.cli import main
from device.store.store import ModelStore
from tests.support.command_output import RATE, REPORT_KEYS, samples_of

pytestmark = pytest.mark.usefixtures("own_folder")


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
    figures = run_json("play", "--switches", script, "--speaker", "wav:x.wav", "--seconds", 1)
    assert set(figures) == REPORT_KEYS | {"speaker", "switches"}
    assert (figures["speaker"], figures["switches"], figures["n_flips"]) == ("x.wav", script, 2)
    assert figures["seconds"] == 1.0
    # A file has no queue.
    assert (figures["speaker_latency_ms"], figures["guard_ms"]) == (0, None)
    assert figures["switch_to_sample_p99_ms"] >= figures["switch_to_sample_p50_ms"] > 0


def test_play_prints_its_report_in_one_line(run, script):
    output = run("play", "--switches", script, "--speaker", "wav:x.wav", "--seconds", 1)
    assert output.count("\n") == 1
    assert output.startswith("1.0 s played on x.wav; 2 flips, switch to first sample p50 ")


def test_without_a_terminal_the_demo_plays_and_ends_by_itself(run_json):
    figures = run_json("play", "--speaker", "wav:demo.wav")
    assert (figures["switches"], figures["seconds"], figures["n_flips"]) == ("demo", 20.0, 6)
    assert len(samples_of("demo.wav")) == 20 * RATE


def test_a_quantised_flip_sounds_later(run, script):
    for quantize in ("off", "beat"):
        speaker = ["--speaker", f"wav:{quantize}.wav", "--seconds", 1]
        run("play", "--switches", script, *speaker, "--quantize", quantize)
    one, other = samples_of("off.wav"), samples_of("beat.wav")
    first_difference = np.flatnonzero(one != other)[0] / RATE
    assert 0.4 <= first_difference < 0.45


def test_the_silent_speaker_keeps_real_time_and_its_latency_is_what_is_queued(run_json, script):
    figures = run_json("play", "--switches", script, "--speaker", "silent", "--seconds", 0.5)
    assert (figures["speaker"], figures["seconds"]) == ("silent", 0.5)
    assert 0 <= figures["speaker_latency_ms"] <= 60
    assert 5 <= figures["guard_ms"] <= 60


def test_the_cards_are_listed_by_name(run, monkeypatch):
    monkeypatch.setattr("device.audio.port_audio.list_cards", lambda: ["Headphones", "USB DAC"])
    assert run("play", "--speaker", "list").splitlines() == ["Headphones", "USB DAC"]


def test_play_plays_the_active_model_of_its_store(tiny_model, tmp_path, capsys):
    store = ModelStore(tmp_path / "models", reserve_bytes=0)
    store.activate(store.add(tiny_model))
    args = ["play", "--store", str(store.directory), "--switches", "demo"]
    assert main([*args, "--speaker", "wav:x.wav", "--seconds", "0.5"]) == 0
    assert len(samples_of("x.wav")) == RATE // 2
    assert store._starts.n_starts_of(store.active().stem) == 0
    assert capsys.readouterr().err == ""
