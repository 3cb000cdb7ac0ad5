"""The songs in the browser are those of the device."""

import json
import shutil
import subprocess
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path

import numpy as np
import pytest

from device.model.bundled import BUNDLED_MODEL
from device.model.network import Network
from device.synthesis.breaks import Breaks
from device.synthesis.performance import Performance
from device.synthesis.variation import SongForm

SITE = Path(__file__).parents[2] / "docs/site"
NODE = shutil.which("node")
PROGRAM = """
import { readFileSync } from "node:fs";
import { SongForm } from "./song_form.mjs";
const { description, positions } = JSON.parse(readFileSync(0));
const form = new SongForm(description);
const played = positions.map((passes) => form.passage_at(passes));
const variations = played.map((passage) => form.at(passage));
const frame = Array.from(positions, () => new Float32Array(description.card.frame_size).fill(1));
frame.forEach((each, i) => form.apply_break(each, positions[i] * description.card.beats_per_loop));
const lowest = frame.map((each) => Array.from(each.slice(0, 16)));
console.log(JSON.stringify([played, variations, lowest]));
"""


@pytest.mark.skipif(NODE is None, reason="node is not installed")
def test_the_browser_plays_the_passages_of_the_device(tmp_path):
    spec = spec_from_file_location("build_instrument", SITE / "build_instrument.py")
    build_instrument = module_from_spec(spec)
    spec.loader.exec_module(build_instrument)
    card = Network.open(BUNDLED_MODEL).card
    description = build_instrument.description(card, Performance(), at={})
    shutil.copy(SITE / "instrument/song_form.js", tmp_path / "song_form.mjs")
    (tmp_path / "play.mjs").write_text(PROGRAM)
    # Three songs in steps of less than a 16th note, and the turns themselves.
    positions = [*np.arange(0, 24, 0.013).tolist(), *np.arange(0, 24, 0.25).tolist()]
    done = subprocess.run(
        [NODE, tmp_path / "play.mjs"],
        input=json.dumps({"description": description, "positions": positions}),
        capture_output=True,
        text=True,
        check=True,
    )
    passages, variations, lowest = json.loads(done.stdout)
    form = SongForm(card.n_variation, seed=Performance().seed)
    assert passages == [form.passage_at(passes) for passes in positions]
    expected = [form.at(passage) for passage in passages]
    assert np.array_equal(np.array(variations, np.float32), expected)
    beats = np.array(positions) * card.beats_per_loop
    frames = Breaks(form, card).applied(np.ones((len(beats), card.frame_size), np.float32), beats)
    assert np.array(lowest) == pytest.approx(frames[:, :16], rel=1e-5)
    assert frames.min() < 0.02
