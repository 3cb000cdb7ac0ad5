"""The instrument in the browser plays what the one in Python plays."""

import json
import subprocess
import sys
import wave
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path

import numpy as np
import pytest

from device.model.bundled import BUNDLED_MODEL
from device.model.network import Network
from device.synthesis.performance import Performance
from device.synthesis.voice import Voice
from tests.support import tiny_model

ROOT = Path(__file__).parents[2]
BITS = "01100101"
SECONDS = 12
CARD = Network.open(BUNDLED_MODEL).card


def convergence_db(found, expected):
    return 20 * np.log10(np.linalg.norm(found - expected) / np.linalg.norm(expected))


def stft(samples, n_fft=1024, hop=256):
    frames = np.lib.stride_tricks.sliding_window_view(samples, n_fft)[::hop]
    return np.abs(np.fft.rfft(frames * np.hanning(n_fft + 1)[:-1]))


def chroma(samples, rate):
    """Magnitude of the twelve pitch classes in every beat, (n_beats, 12), 110 Hz to 3.5 kHz."""
    power = stft(samples, 4096, 512) ** 2
    hertz = np.fft.rfftfreq(4096, 1 / rate)
    note = np.round(12 * np.log2(np.maximum(hertz, 1) / 110)).astype(int)
    notes = np.stack([power[:, note == n].sum(axis=1) for n in range(60)], axis=1)
    classes = notes.reshape(-1, 5, 12).sum(axis=1)
    hops_per_beat = round(60 / CARD.tempo_bpm * rate / 512)
    n_beats = len(classes) // hops_per_beat
    beats = classes[: n_beats * hops_per_beat].reshape(n_beats, hops_per_beat, 12)
    return np.sqrt(beats.mean(axis=1))


def voice_of(model, flips, n_hops):
    """Samples of a voice, and the frames that it inverted."""
    network = Network.open(model)
    voice = Voice(network, Performance())
    samples, frames = [], []
    seconds = network.card.hop_length / network.card.sample_rate
    for n in range(n_hops):
        bits = [bits for at, bits in flips if at <= n * seconds][-1]
        samples.append(voice.block(tuple(bits)))
        frames.append(voice.vocoder.inversion.targets[-1].copy())
    return np.concatenate(samples), np.array(frames)


class Page:
    """The page of the instrument, opened, and whatever it complained of or loaded from afar."""

    def __init__(self, page, address):
        self.page, self.complaints = page, []
        page.on("pageerror", lambda error: self.complaints.append(str(error)))
        page.on("console", lambda m: m.type == "error" and self.complaints.append(m.text))
        page.on("request", lambda r: r.url.startswith(address) or self.complaints.append(r.url))
        page.goto(f"{address}/instrument/")
        page.evaluate("instrument.ready")

    def call(self, name, **parameters):
        script = "async ([name, p]) => JSON.stringify(await instrument.call(name, p))"
        return json.loads(self.page.evaluate(script, [name, parameters]))

    def rendered(self, flips, seconds):
        drawn = self.call("render", flips=flips, seconds=seconds)
        return np.array(drawn["samples"], "f4"), np.array(drawn["frames"], "f4")


@pytest.fixture(scope="module")
def page(site, browser, serve):
    opened = browser.new_page()
    yield Page(opened, serve(site))
    opened.close()


@pytest.fixture(scope="module", params=[0, 2], ids=["one part", "two parts"])
def guided_page(request, site_tools, browser, serve, tmp_path_factory):
    """The instrument with a model that draws phase advances too, in a page without a theme.

    Its compose half is in one part or in two.
    """
    folder = tmp_path_factory.mktemp("guided")
    model = tiny_model.build(folder / "guided.onnx", n_guided=60, n_codes=request.param)
    sys.path.insert(0, str(ROOT / "docs/site"))
    spec = spec_from_file_location("build_instrument", ROOT / "docs/site/build_instrument.py")
    builder = module_from_spec(spec)
    spec.loader.exec_module(builder)
    builder.build(folder / "instrument", model)
    text = (folder / "instrument/index.md").read_text(encoding="utf-8")
    favicon = '<link rel="icon" href="data:,">'
    (folder / "instrument/index.html").write_text(f"<!doctype html>{favicon}{text}", "utf-8")
    opened = browser.new_page()
    yield Page(opened, serve(folder)), model
    opened.close()


def test_it_plays_the_notes_that_render_plays(page, tmp_path):
    wav = tmp_path / "x.wav"
    run = [sys.executable, "-c", "import device.cli as c; raise SystemExit(c.main())"]
    options = ["--bits", BITS, "--seconds", str(SECONDS), "--seed", "1", "--out", str(wav)]
    subprocess.run([*run, "render", *options], check=True, capture_output=True, cwd=ROOT)
    with wave.open(str(wav)) as file:
        rate = file.getframerate()
        expected = np.frombuffer(file.readframes(file.getnframes()), "<i2") / 32768
    samples, _ = page.rendered([[0, list(map(int, BITS))]], SECONDS)
    assert abs(len(samples) - len(expected)) <= 2 * CARD.hop_length
    n = min(len(samples), len(expected))
    assert convergence_db(chroma(samples[:n], rate), chroma(expected[:n], rate)) <= -20


def test_its_sound_is_as_near_as_another_rounding_of_the_frames(page):
    # Phases drift apart from the first difference on, however small; the quality is the same.
    flips = [[0, list(map(int, BITS))]]
    samples, _ = page.rendered(flips, SECONDS)
    expected, frames = voice_of(BUNDLED_MODEL, flips, len(samples) // CARD.hop_length)
    vocoder = Voice(Network.open(BUNDLED_MODEL), Performance()).vocoder
    noise = np.random.default_rng(1).standard_normal(frames.shape)
    rounded = frames * (1 + 1e-6 * noise).astype(np.float32)
    other = np.concatenate([vocoder.process(frame[np.newaxis]) for frame in rounded])
    nearest = convergence_db(stft(other), stft(expected))
    assert convergence_db(stft(samples), stft(expected)) < nearest + 2


def test_it_draws_the_magnitudes_that_python_draws(page):
    flips = [[0, [0, 1, 1, 0, 0, 1, 0, 1]], [4, [1, 1, 1, 0, 0, 1, 0, 1]], [11.9, [0] * 8]]
    n_hops = 14 * CARD.sample_rate // CARD.hop_length
    _, expected = voice_of(BUNDLED_MODEL, flips, n_hops)
    _, frames = page.rendered(flips, 14)
    assert convergence_db(frames.reshape(expected.shape), expected) < -60


@pytest.mark.parametrize("with_tape", [False, True])
def test_the_same_frames_have_the_same_samples_to_the_bit(page, with_tape):
    _, frames = voice_of(BUNDLED_MODEL, [[0, [1, 0, 1, 0, 1, 0, 1, 0]]], 100)
    found = np.array(page.call("invert", frames=frames.tolist(), with_tape=with_tape), "f4")
    vocoder = Voice(Network.open(BUNDLED_MODEL), Performance()).vocoder
    process = vocoder.process if with_tape else vocoder.inversion.process
    assert np.array_equal(found, np.concatenate([process(frame[np.newaxis]) for frame in frames]))


def test_a_model_with_guided_bins_plays_too(guided_page):
    page, model = guided_page
    flips = [[0, [1, 0, 1]], [0.7, [1, 1, 1]], [1.5, [0, 0, 1]]]
    samples, frames = page.rendered(flips, 3)
    expected, expected_frames = voice_of(model, flips, len(samples) // 64)
    assert convergence_db(frames.reshape(expected_frames.shape), expected_frames) < -60
    inverted = np.array(page.call("invert", frames=expected_frames.tolist(), with_tape=False), "f4")
    vocoder = Voice(Network.open(model), Performance()).vocoder
    assert np.array_equal(inverted, vocoder.inversion.process(expected_frames))
    assert convergence_db(stft(samples), stft(expected)) < -14
    assert page.complaints == []


def test_a_click_plays_and_keys_and_clicks_flip(page):
    button = page.page.locator("[data-part=play]")
    button.click()
    page.page.wait_for_function("instrument.level() > 0.01")
    switches = page.page.locator("[data-part=switches] button")
    assert switches.count() == CARD.n_switches
    switches.nth(1).click()
    page.page.keyboard.press("5")
    states = [switches.nth(i).get_attribute("aria-pressed") for i in range(switches.count())]
    assert [i for i, state in enumerate(states) if state == "true"] == [0, 2, 3, 4]
    assert button.text_content() == "Pause"
    button.click()
    page.page.wait_for_function("document.querySelector('[data-part=play]').textContent == 'Play'")
    n_played = page.call("queue")["n_played"]
    assert n_played > 0


def test_every_page_loads_from_the_site_alone(page, site, browser, serve):
    address, asked = serve(site), []
    opened = browser.new_page()
    opened.on("request", lambda request: asked.append(request.url))
    for path in site.rglob("index.html"):
        opened.goto(f"{address}/{path.relative_to(site)}")
    opened.close()
    assert [url for url in asked if not url.startswith((address, "data:"))] == []
    assert page.complaints == []
