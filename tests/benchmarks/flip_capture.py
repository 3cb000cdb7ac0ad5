"""How long a flip takes to be heard, found in sound that was captured behind a real card's driver.

    python tests/benchmarks/flip_capture.py --flips 60

Prints JSON. The instrument plays through PortAudio, ALSA and a private PulseAudio whose only sink
is recorded while it plays. As in `bench`, two tones stand for the music of the bundled model. A
flip ends when the new tone is the larger part of what was recorded, so the recorder's own latency
is part of it. Needs PulseAudio with its utilities, and ALSA's plugins (Debian:
libasound2-plugins).
"""

import argparse
import os
import sys
import tempfile
import time
from contextlib import suppress
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).parents[2]))

from device.audio.open_speaker import open_speaker
from device.commands.flip_latency import RandomFlips, ToneNetwork, tone_level
from device.console import say, say_json
from device.model.bundled import BUNDLED_MODEL
from device.model.network import Network
from device.playback.instrument import Instrument
from device.synthesis.performance import Performance
from tests.appliance.audio_capture import SAMPLE_RATE, AudioCapture

ASOUND = """
pcm.!default { type pulse }
ctl.!default { type pulse }
"""
SEARCHED_SECONDS = 0.4
NEIGHBOURS = 50  # chunks of 20 ms


def captured(capture, since):
    """The sound since a moment, and the time of each sample: as early as its neighbours allow."""
    time.sleep(SEARCHED_SECONDS)
    chunks = [chunk for chunk in capture.chunks() if chunk[0] >= since]
    lengths = np.array([len(samples) for _, samples in chunks])
    ends = np.cumsum(lengths)
    # A recorder is late by chance, never early; what a busy machine drops moves all that follows.
    begins = np.array([when for when, _ in chunks]) - ends / SAMPLE_RATE
    earliest = [begins[max(0, i - NEIGHBOURS) : i + NEIGHBOURS].min() for i in range(len(chunks))]
    times = np.repeat(earliest, lengths) + np.arange(ends[-1]) / SAMPLE_RATE
    return np.concatenate([samples for _, samples in chunks]), times


def heard(sound, times, switches, hertz):
    """Milliseconds from each flip until its tone is the larger part."""
    levels = [tone_level(sound, tone, SAMPLE_RATE) for tone in hertz]
    levels = [level / np.percentile(level, 90) for level in levels]
    found = []
    for i, flipped_at in enumerate(switches.flipped_at):
        begin, end = np.searchsorted(times, [flipped_at, flipped_at + SEARCHED_SECONDS])
        old, new = (levels[(i + k) % 2][begin:end] for k in (0, 1))
        place = int(np.argmax(new >= old))
        found.append(1e3 * (times[begin + place] - flipped_at))
    return np.array(found)


def measure(n_flips, folder):
    """Play, capture and look the flips up."""
    (folder / "asound.conf").write_text(ASOUND)
    with AudioCapture(folder) as capture:
        capture.listen(0.5)
        os.environ["PULSE_SERVER"] = f"unix:{capture.socket}"
        os.environ["ALSA_CONFIG_PATH"] = f"/usr/share/alsa/alsa.conf:{folder / 'asound.conf'}"
        network = ToneNetwork(Network.open(BUNDLED_MODEL))
        rate = network.card.sample_rate
        switches = RandomFlips(network.card.n_switches, n_flips, seed=1)
        with suppress(PermissionError):
            os.sched_setscheduler(0, os.SCHED_FIFO, os.sched_param(20))
        since = time.monotonic()
        speaker = open_speaker("card", rate, live=True, report=say)
        with Instrument(network, switches, speaker, Performance(), ahead=True) as instrument:
            report = instrument.play()
        sound, times = captured(capture, since)
    hertz = [k * rate / network.card.n_fft for k in network.tone_bins]
    milliseconds = heard(sound, times, switches, hertz)
    return {
        "n_flips": n_flips,
        "flip_to_captured_p50_ms": round(float(np.percentile(milliseconds, 50)), 1),
        "flip_to_captured_p99_ms": round(float(np.percentile(milliseconds, 99)), 1),
        "underruns": report.underruns,
        "load_average": os.getloadavg()[0],
    }


def main():
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--flips", type=int, default=60)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        say_json(measure(options.flips, Path(folder)))


if __name__ == "__main__":
    main()
