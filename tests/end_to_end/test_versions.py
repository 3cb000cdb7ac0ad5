"""From a corpus of versions to a file that plays: what an owner runs, with small networks."""

import json
from dataclasses import replace

from device.model.summary import read_card
from tests.support.forked_processes import run_switchboard
from tests.support.recording import read_wav
from tests.support.tiny_run import CONFIG, options
from training.corpus.generator.versions import FACTORS
from training.run.config import Config


def test_versions_become_switches(tmp_path):
    corpus, run, model = (tmp_path / name for name in ("corpus", "run", "model.onnx"))
    run_switchboard(
        *("corpus", "studio", "--versions", 4, "--minutes", 4.8, "--workers", 1, "--out", corpus)
    )
    run_switchboard(
        *("train", corpus, "--out", run, "--steps", 6, "--switches", "versions"),
        *("--device", "cpu", "--threads", 1, *options(replace(CONFIG, n_switches=8))),
    )
    run_switchboard("export", run, "--out", model)

    # What other switches would be composed by was not measured with versions.
    settings = json.loads((run / "config.json").read_text())
    assert settings["temperature"] == 0.7 and Config().temperature == 0

    # A run that is trained further keeps its own settings, which are not the defaults here.
    more = tmp_path / "more"
    run_switchboard(
        *("train", corpus, "--out", more, "--steps", 2, "--switches", "versions", "--from", run),
        *("--device", "cpu", "--threads", 1),
    )
    kept = json.loads((more / "config.json").read_text())
    assert kept == settings | {"continues": True} and kept["n_variation"] == CONFIG.n_variation

    card = read_card(model)
    assert card.switch_labels == FACTORS
    # The composer knows no switches, so a flip composes nothing anew.
    assert card.n_codes == CONFIG.n_codes
    for number, bits in enumerate(("11111111", "00000000")):
        out = tmp_path / f"{number}.wav"
        run_switchboard("render", "--model", model, "--bits", bits, "--seconds", 1, "--out", out)
        assert len(read_wav(out).samples) > 0
