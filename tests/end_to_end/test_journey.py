"""A journey through keys, by the command line at its defaults, with the bundled model."""

import json
import wave

import numpy as np
import pytest

from device.cli import main
from device.model.bundled import BUNDLED_MODEL
from device.model.network import Network
from device.playback.share_code import SharedPosition
from device.synthesis.variation import SongForm

BITS = "01100101"
CARD = Network.open(BUNDLED_MODEL).card
RATE = CARD.sample_rate
# The second theme of a song is from its fifth pass to its sixth.
PASS_SECONDS = 60 * CARD.beats_per_loop / CARD.tempo_bpm
OTHER_SECONDS, BACK_SECONDS = 4 * PASS_SECONDS, 6 * PASS_SECONDS


@pytest.fixture(autouse=True)
def own_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for name in ("XDG_DATA_HOME", "STATE_DIRECTORY"):
        monkeypatch.setenv(name, str(tmp_path / name))


def switchboard(*arguments):
    assert main(list(map(str, arguments))) == 0


def rendered(name, *options):
    switchboard("render", "--out", name, *options)
    with wave.open(name) as wav:
        return np.frombuffer(wav.readframes(wav.getnframes()), "<i2").astype(np.float32) / 32767


def chroma(samples):
    """Magnitudes of the twelve pitch classes from 110 Hz to 2.5 kHz, (12,)."""
    windows = np.lib.stride_tricks.sliding_window_view(samples, 8192)[::4096]
    power = np.abs(np.fft.rfft(windows * np.hanning(8192))) ** 2
    hertz = np.fft.rfftfreq(8192, 1 / RATE)
    is_note = (hertz > 110) & (hertz < 2500)
    classes = np.zeros(12)
    note = np.round(12 * np.log2(hertz[is_note] / 440)).astype(int) % 12
    np.add.at(classes, note, power[:, is_note].sum(axis=0))
    return np.sqrt(classes)


def cosine(one, other):
    return one @ other / np.linalg.norm(one) / np.linalg.norm(other)


def part(samples, seconds, until):
    return samples[round(seconds * RATE) : round(until * RATE)]


def test_a_render_goes_into_another_key_and_comes_back():
    options = ["--bits", BITS, "--seconds", round(BACK_SECONDS + PASS_SECONDS)]
    home, travelled = rendered("home.wav", *options), rendered("there.wav", *options, "--journey")
    assert len(home) == len(travelled)
    form = SongForm(CARD.n_variation, seed=1, journey=True)
    semitones = form.transposition_of(form.passage_at(4))
    for begin in (0.0, BACK_SECONDS + 1):
        end = min(begin + 2 * PASS_SECONDS, len(home) / RATE)
        same = cosine(chroma(part(home, begin, end)), chroma(part(travelled, begin, end)))
        assert same > 0.995
    there = (OTHER_SECONDS + 0.5, BACK_SECONDS - 0.5)
    before, after = chroma(part(home, *there)), chroma(part(travelled, *there))
    likeness = [cosine(np.roll(before, n), after) for n in range(12)]
    assert int(np.argmax(likeness)) == semitones % 12
    assert likeness[semitones % 12] > 0.97
    # The last beat comes at the same time: the tempo is that of before.
    envelopes = [np.abs(part(x, BACK_SECONDS + 1, BACK_SECONDS + 9)) for x in (home, travelled)]
    envelopes = [x[: len(x) // 128 * 128].reshape(-1, 128).sum(axis=1) for x in envelopes]
    one, other = (x - x.mean() for x in envelopes)
    lag = int(np.argmax(np.correlate(one, other, "full"))) - len(one) + 1
    assert abs(lag) <= 2  # windows of 5.8 ms; frames have another grid after the keys


def test_a_share_code_of_a_journey_begins_in_its_key():
    from device.files import sha256_of

    digest, bits = sha256_of(BUNDLED_MODEL)[:6], tuple(bit == "1" for bit in BITS)
    n_slots = 16 * CARD.beats_per_loop + 4
    position = SharedPosition(digest, bits, 1, None, still=False, n_slots=n_slots, journey=True)
    shared = [rendered(f"{n}.wav", "--share", position.code, "--seconds", 8) for n in range(2)]
    assert np.array_equal(*shared)
    whole = rendered("whole.wav", "--bits", BITS, "--journey", "--seconds", 62)
    begin = 60 / CARD.tempo_bpm * position.beat
    expected = chroma(part(whole, begin, begin + 8))
    assert cosine(chroma(shared[0]), expected) > 0.99


def test_playing_in_real_time_goes_through_a_change_of_key(tmp_path, capsys):
    # At 400 bpm another key begins after 9.6 s; a switch is flipped before and after it.
    (tmp_path / "flips").write_text("0 01100101\n9.5 01100100\n9.62 11100100\n11 01100101\n")
    switchboard(
        *("play", "--journey", "--tempo", 400, "--speaker", "silent", "--seconds", 12, "--json"),
        *("--switches", "script:flips", "--performance", "played.jsonl"),
    )
    figures = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert figures["n_flips"] == 3
    assert figures["seconds"] == pytest.approx(12, abs=0.01)
    again = rendered("again.wav", "--performance", "played.jsonl")
    assert len(again) / RATE == pytest.approx(12, abs=0.01)
    assert np.abs(again).max() > 0.1
