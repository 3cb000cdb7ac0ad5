"""`switchboard train`, from a corpus on disk to the networks, previews and curves."""

import json
import re
from dataclasses import replace

import numpy as np
import pytest
import soundfile
import torch
from click.testing import CliRunner

from device.cli import main
from device.errors import SwitchboardError
from tests.support.tiny_run import ANALYSIS, CONFIG, finished, invoke, same_bits, weights
from training.commands.train import train
from training.commands.train_options import TrainOptions, fastest_precision
from training.run import preview, starting, trainer
from training.run.config import RENAMED_SETTINGS, Config, TrainingError
from training.run.networks import Networks
from training.run.run_folder import FinishedRun, open_run, save_run
from training.run.training_log import Progress, TrainingLog


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    return finished(tmp_path_factory)


def message_of(result):
    """The one line of a failed command."""
    assert isinstance(result.exception, SwitchboardError), result.exception
    text = str(result.exception)
    assert "\n" not in text
    return text


def test_a_run_holds_networks_previews_and_curves(run):
    _, out = run
    names = {path.name for path in out.iterdir()}
    assert names == {
        "config.json",
        "checkpoint.pt",
        "curves.csv",
        "curves.png",
        "model.pt",
        "page.html",
        "preview",
        "starts.csv",
    }
    assert json.loads((out / "config.json").read_text()) == CONFIG.to_dict()
    assert (out / "curves.png").read_bytes().startswith(b"\x89PNG")


def test_previews_are_audible_loops(run):
    previews = sorted((run[1] / "preview").glob("*.wav"))
    kinds = {re.sub(r"[0-9]+", "N", path.stem) for path in previews}
    assert kinds == {"held-out-N-inverted", "held-out-N-codec", "panel-N"}
    for path in previews:
        samples, rate = soundfile.read(path, dtype="float32")
        assert rate == CONFIG.analysis.sample_rate
        assert np.isfinite(samples).all()
        assert len(samples) / rate == pytest.approx(16 * 60 / 80, abs=0.1)
    inverted = next(path for path in previews if path.stem.endswith("inverted"))
    assert np.abs(soundfile.read(inverted)[0]).max() > 0.01


def test_a_finished_run_opens_with_all_the_export_needs(run):
    opened = open_run(run[1])
    assert opened.config == CONFIG
    assert opened.n_slots == 64
    assert opened.tempo_bpm == 80
    assert len(set(opened.switch_labels)) == CONFIG.n_switches
    assert opened.provenance["corpus"]["licences"] == ["CC0-1.0"]
    assert opened.provenance["training"] == CONFIG.to_dict()
    assert not any(network.training for network in vars(opened.networks).values())


def test_the_networks_load_without_a_full_unpickler(run):
    content = torch.load(run[1] / "model.pt", weights_only=True)
    assert set(content["networks"]) == {"codec", "composer", "reader", "axes", "critic"}


def test_a_run_saved_and_opened_is_the_same_run(tmp_path, run):
    first = open_run(run[1])
    save_run(tmp_path, first)
    again = open_run(tmp_path)
    assert same_bits(weights(again.networks), weights(first.networks))
    assert isinstance(again, FinishedRun)
    assert (again.switch_labels, again.provenance) == (first.switch_labels, first.provenance)


def test_a_run_killed_before_its_networks_were_written_finishes_on_resume(
    run, tmp_path, monkeypatch
):
    corpus, out = run
    expected = weights(out)
    (tmp_path / "checkpoint.pt").write_bytes((out / "checkpoint.pt").read_bytes())
    (tmp_path / "curves.csv").write_bytes((out / "curves.csv").read_bytes())
    monkeypatch.setattr(trainer.Trainer, "train_stage", None)
    result = invoke(corpus, tmp_path, "--steps", "10", "--resume")
    assert result.exit_code == 0, result.output
    assert same_bits(weights(tmp_path), expected)
    assert (tmp_path / "curves.csv").read_bytes() == (out / "curves.csv").read_bytes()


def test_the_command_for_a_scheduler_begins_goes_on_and_then_does_nothing(run, tmp_path):
    corpus, out = run
    again = ["--steps", "10", "--resume", "auto"]
    first = invoke(corpus, tmp_path / "run", *again)
    assert first.exit_code == 0, first.output
    assert same_bits(weights(tmp_path / "run"), weights(out))
    (tmp_path / "run" / "model.pt").unlink()
    assert invoke(corpus, tmp_path / "run", *again).exit_code == 0
    starts = (tmp_path / "run" / "starts.csv").read_text().splitlines()
    assert [line.split(",")[1:4] for line in starts[1:]] == [["0", "0", "1"], ["2", "0", "1"]]
    before = (tmp_path / "run" / "model.pt").stat().st_mtime_ns
    last = invoke(corpus, tmp_path / "run", *again)
    assert last.exit_code == 0
    assert "model.pt was finished before" in last.output
    assert (tmp_path / "run" / "model.pt").stat().st_mtime_ns == before


def test_batches_that_grow_with_the_processes_are_kept_by_a_run_that_goes_on():
    grown = CONFIG.for_processes(4)
    assert (grown.codec_slots, grown.composer_loops) == (96, 24)
    assert (grown.codec_rate, grown.panel_variations) == (
        2 * CONFIG.codec_rate,
        4 * CONFIG.panel_variations,
    )
    auto = options_of("--batch", "auto")
    assert auto.with_batch(CONFIG, None, 4) == grown
    assert auto.with_batch(CONFIG, grown.to_dict(), 3) == grown
    assert options_of().with_batch(CONFIG, grown.to_dict(), 3) == CONFIG


@pytest.mark.parametrize(
    ("device", "capabilities", "precision"),
    [
        ("cuda", {}, "bfloat16"),
        ("cpu", {"avx512_bf16": True}, "bfloat16"),
        ("cpu", {"avx512_bf16": False, "avx2": True}, "float32"),
        ("cpu", {"architecture": "aarch64"}, "float32"),
        # An earlier torch cannot say.
        ("cpu", None, "float32"),
    ],
)
def test_the_precision_is_the_one_that_the_processor_is_fast_in(
    monkeypatch, device, capabilities, precision
):
    if capabilities is None:
        monkeypatch.delattr(torch.cpu, "get_capabilities", raising=False)
    else:
        monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: capabilities, raising=False)
    assert fastest_precision(torch.device(device)) == precision


def options_of(*more):
    """What `switchboard train` makes of a command line."""
    context = train.make_context("train", ["corpus", "--out", "run", "--steps", "5", *more])
    return TrainOptions(**context.params)


def test_a_run_that_another_process_trains_is_left_alone(run, tmp_path, monkeypatch):
    monkeypatch.setattr(starting, "LOCK_SECONDS", 0.0)
    with starting.locked_run(tmp_path):
        text = message_of(invoke(run[0], tmp_path, "--steps", "10"))
    assert "found another process that trains this run" in text
    assert list(tmp_path.iterdir()) == []


def test_a_run_whose_settings_are_damaged_is_not_resumed(run, tmp_path):
    (tmp_path / "checkpoint.pt").touch()
    (tmp_path / "config.json").write_text("[1")
    text = message_of(invoke(run[0], tmp_path, "--steps", "10", "--resume", "auto"))
    assert "config.json: cannot be read" in text


def test_a_run_is_never_started_over(run):
    corpus, out = run
    before = {path: path.read_bytes() for path in out.iterdir() if path.is_file()}
    text = message_of(invoke(corpus, out, "--steps", "10", "--set", "width=8"))
    assert re.search(r"a run is there already .*--resume", text)
    assert before == {path: path.read_bytes() for path in out.iterdir() if path.is_file()}


def test_finished_networks_are_not_overwritten_though_the_checkpoint_is_gone(run, tmp_path):
    (tmp_path / "model.pt").write_bytes(b"networks")
    text = message_of(invoke(run[0], tmp_path, "--steps", "10"))
    assert "a run is there already (model.pt)" in text


def test_resuming_with_other_settings_leaves_the_run_as_it_is(run):
    corpus, out = run
    before = {path: path.read_bytes() for path in out.iterdir() if path.is_file()}
    result = invoke(corpus, out, "--steps", "10", "--resume", "--set", "hidden=48")
    assert "made with hidden 32, requested 48" in message_of(result)
    assert before == {path: path.read_bytes() for path in out.iterdir() if path.is_file()}


def test_resuming_a_run_that_does_not_exist_makes_no_folder(run, tmp_path):
    result = invoke(run[0], tmp_path / "none", "--steps", "10", "--resume")
    assert "no checkpoint.pt found to resume" in message_of(result)
    assert not (tmp_path / "none").exists()


@pytest.mark.parametrize("budget", [[], ["--steps", "5", "--minutes", "1"]])
def test_steps_and_minutes_both_or_neither_is_a_usage_error(tmp_path, budget):
    result = invoke(tmp_path, tmp_path / "run", *budget)
    assert result.exit_code == 2
    assert "give either --minutes or --steps" in result.output


def test_an_unknown_corpus_is_rejected_and_no_run_is_begun(tmp_path):
    result = invoke(tmp_path / "nowhere", tmp_path / "run", "--steps", "5")
    assert "nowhere is not a directory" in message_of(result)
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize(
    ("item", "message"),
    [
        ("breadth=128", r"--set breadth=128: no such setting"),
        ("analysis.bend=3", r"--set analysis\.bend=3: no such setting"),
        ("analysis=3", r"--set analysis=3: no such setting"),
        ("width.x=3", r"--set width\.x=3: no such setting"),
        ("a.b.c=3", r"no such setting"),
        ("width", r"--set width: found '', expected int"),
        ("width=wide", r"found 'wide', expected int"),
        ("codec_rate=fast", r"found 'fast', expected float"),
        ("codec_rate=nan", r"setting codec_rate: found nan, expected a positive number"),
        ("composer_width=30", r"setting composer_width: found 30, expected a multiple of the 4"),
        ("n_levels=4", r"setting n_levels: found 4, expected an odd number"),
        ("n_switches=65", r"setting n_switches: found 65, expected 1 to 64"),
        ("codec_share=1", r"setting codec_share: found 1\.0, expected 0 to less than 1"),
        ("precision=float16", r"setting precision: found float16, expected float32 or bfloat16"),
        ("analysis.window=bartlett", r"found bartlett, expected hann or asymmetric"),
        ("analysis.hop_length=128", r"found 128, expected a part of n_fft 256, a quarter"),
        ("analysis.hop_length=100", r"setting analysis\.hop_length: found 100, expected a part"),
        ("analysis.n_bands=500", r"setting analysis\.n_bands: found 500, expected 2 to 129"),
        ("analysis.n_linear=31", r"setting analysis\.n_linear: found 31, expected 1 or more"),
    ],
)
def test_a_setting_that_cannot_work_is_rejected_in_one_line(tmp_path, item, message):
    result = invoke(tmp_path, tmp_path / "run", "--steps", "5", "--set", item)
    assert re.search(message, message_of(result))


@pytest.mark.parametrize(("old", "new"), RENAMED_SETTINGS.items())
def test_set_takes_the_name_of_an_earlier_version(tmp_path, old, new):
    result = invoke(tmp_path, tmp_path / "run", "--steps", "5", "--set", f"{old}=-1")
    assert f"setting {new}: found -1" in message_of(result)


def test_switches_from_labels_on_requested_bands(run, tmp_path):
    corpus, _ = run
    out = tmp_path / "run"
    sizes = ["--bands", "mel", "--n-fft", "256", "--set", "analysis.n_linear=0"]
    sizes += ["--window", "asymmetric"]
    labels = ["--switches", "labels", "--labels", "drums,mode=minor,brightness"]
    result = invoke(corpus, out, "--steps", "4", *sizes, *labels)
    assert result.exit_code == 0, result.output
    opened = open_run(out)
    assert opened.switch_labels == ("drums", "mode=minor", "brightness")
    assert opened.config.analysis == replace(ANALYSIS, bands="mel", n_linear=0, window="asymmetric")
    assert opened.config.n_switches == 3


def test_the_codec_of_another_run_is_kept_as_it_is(run, tmp_path):
    corpus, before = run
    options = ["--codec", str(before), "--switches", "components"]
    result = CliRunner().invoke(train, [*small_composer(corpus, tmp_path / "run"), *options])
    assert result.exit_code == 0, result.output
    old, new = open_run(before), open_run(tmp_path / "run")
    assert new.config.analysis == old.config.analysis
    assert new.provenance["codec"] == old.provenance
    assert new.networks.axes.steps.abs().sum() > 0
    first, second = (
        {name: tensor for name, tensor in weights(made.networks).items() if "codec" in name}
        for made in (old, new)
    )
    assert same_bits(first, second)
    assert "codec" not in (tmp_path / "run" / "curves.csv").read_text()


def test_a_finished_run_is_trained_further(run, tmp_path):
    corpus, before = run
    where = [str(corpus), "--out", str(tmp_path / "run"), "--device", "cpu", "--threads", "1"]
    result = CliRunner().invoke(train, [*where, "--steps", "4", "--from", str(before)])
    assert result.exit_code == 0, result.output
    old, new = open_run(before), open_run(tmp_path / "run")
    assert new.config == replace(old.config, continues=True)
    assert new.provenance["start"] == old.provenance
    (encoder, rest), (same_encoder, trained_rest) = (
        _encoder_and_rest(weights(made.networks)) for made in (old, new)
    )
    assert same_bits(encoder, same_encoder)
    assert not same_bits(rest, trained_rest)


def _encoder_and_rest(named):
    """Weights that are frozen and weights that are trained further."""
    kept = {
        name for name in named if name.startswith(("codec.encoder.", "codec.mean", "codec.std"))
    }
    rest = {name: tensor for name, tensor in named.items() if name not in kept}
    return {name: named[name] for name in kept}, rest


def test_a_run_with_other_switch_axes_cannot_start_from_this_one(run, tmp_path):
    corpus, before = run
    where = [str(corpus), "--out", str(tmp_path / "run"), "--steps", "4", "--from", str(before)]
    result = CliRunner().invoke(train, [*where, "--switches", "components"])
    assert "--from: found a run with switches discovered, requested components" in message_of(
        result
    )


def small_composer(corpus, out):
    """A short training in which only the composer has sizes of its own."""
    sizes = ("composer_width=16", "composer_layers=1", "reader_width=16", "n_variation=4")
    settings = [part for size in sizes for part in ("--set", size)]
    where = [str(corpus), "--out", str(out), "--device", "cpu", "--threads", "1"]
    return [*where, "--steps", "4", *settings, "--set", "n_switches=3"]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--switches", "labels"], "--switches labels goes with --labels NAME,... or --tags"),
        (["--labels", "drums"], "--switches labels goes with --labels NAME,... or --tags"),
        (["--codec", "run", "--bands", "mel"], "--codec brings its own bands and window"),
        (["--codec", "run", "--window", "hann"], "--codec brings its own bands and window"),
        (["--window", "hamming"], "'hamming' is not one of 'hann', 'asymmetric'"),
        (["--from", "run", "--hop", "64"], "--from brings its own bands and window"),
        (["--from", "run", "--codec", "run"], "--from brings its own codec"),
        (["--bands", "bark"], "'bark' is not one of 'warped', 'mel', 'linear'"),
    ],
)
def test_options_that_contradict_each_other_are_usage_errors(tmp_path, options, message):
    result = invoke(tmp_path, tmp_path / "run", "--steps", "5", *options)
    assert result.exit_code == 2
    assert message in " ".join(result.output.split())


def test_more_labels_than_switches_are_rejected(tmp_path):
    labels = ",".join(f"tag-{number}" for number in range(65))
    where = [str(tmp_path), "--out", str(tmp_path / "run"), "--steps", "5"]
    result = CliRunner().invoke(train, [*where, "--switches", "labels", "--labels", labels])
    assert "setting n_switches: found 65, expected 1 to 64" in message_of(result)


@pytest.mark.parametrize("labels", ["drums,drums,bass", "drums,,bass", "drums"])
def test_every_switch_needs_a_different_name(tmp_path, labels):
    options = ["--switches", "labels", "--labels", labels]
    result = invoke(tmp_path, tmp_path / "run", "--steps", "5", *options)
    assert "expected a different name for each of the 3 switches" in message_of(result)


def test_a_missing_gpu_is_reported(tmp_path, monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    result = invoke(tmp_path, tmp_path / "run", "--steps", "5", "--device", "cuda")
    assert "no CUDA device found" in message_of(result)


def test_the_command_turns_an_error_into_an_exit_code(tmp_path, capsys):
    arguments = ["train", str(tmp_path), "--out", str(tmp_path), "--steps", "5", "--set", "x=1"]
    assert main(arguments) == TrainingError.exit_code
    assert capsys.readouterr().err.count("\n") == 1


def test_default_settings_are_valid():
    assert Config.from_dict(Config().to_dict()) == Config()


@pytest.mark.parametrize("change", [{"tempo": 3}, {"analysis": {"n_fat": 3}}])
def test_settings_of_another_version_are_rejected(change):
    with pytest.raises(TrainingError, match=r"settings of another version"):
        Config.from_dict({**Config().to_dict(), **change})


@pytest.mark.parametrize("names", [[], ["checkpoint.pt"]])
def test_a_run_that_is_not_finished_does_not_open(tmp_path, names):
    for name in names:
        (tmp_path / name).touch()
    state = "an unfinished run" if names else "no run"
    with pytest.raises(TrainingError, match=rf"found {state}, expected model\.pt"):
        open_run(tmp_path)


def test_damaged_networks_do_not_open(tmp_path):
    (tmp_path / "model.pt").write_bytes(b"not networks at all")
    with pytest.raises(TrainingError, match=r"model\.pt: cannot be read"):
        open_run(tmp_path)


def test_a_run_without_any_figure_still_has_its_picture(tmp_path):
    TrainingLog(tmp_path / "curves.csv").cut(Progress())
    preview.draw_curves(tmp_path)
    assert (tmp_path / "curves.png").is_file()


def test_the_same_seed_makes_the_same_networks():
    assert same_bits(weights(Networks.build(CONFIG, 8)), weights(Networks.build(CONFIG, 8)))
