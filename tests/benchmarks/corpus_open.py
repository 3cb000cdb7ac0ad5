"""Time and memory of opening a large corpus.

    PYTHONPATH=. python tests/benchmarks/corpus_open.py [--loops 285000]

The records are like those of `corpus folder`; there is no audio.
Also in format 1 with --format 1.
"""

import argparse
import json
import random
import subprocess
import sys
import tempfile
from hashlib import sha256
from pathlib import Path

import numpy as np

from training.corpus.format import BEATS_PER_LOOP, MARGIN, SAMPLE_RATE
from training.corpus.parts import Contents, Size
from training.corpus.record_files import write_records
from training.corpus.records import columns_of

LOOPS_PER_PIECE = 19
LOOP_SAMPLES = 278_500
LOOPS_PER_SHARD = 10**9 // (2 * LOOP_SAMPLES)
OPEN = """
import resource, sys, time
import numpy
started, cpu = time.perf_counter(), time.process_time()
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
from training.corpus.reader import Corpus
corpus = Corpus.open(sys.argv[1])
seconds, cpu = time.perf_counter() - started, time.process_time() - cpu
after = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
assert corpus.records[-1].provenance["path"]
print(
    f"{len(corpus):,} loops: {seconds:.2f} s ({cpu:.2f} s of processor), "
    f"{after / 1024:.0f} MiB in the process, {(after - before) / 1024:.0f} MiB above numpy"
)
"""


def record(number, start):
    piece = number // LOOPS_PER_PIECE
    rng = random.Random(number)
    digest = sha256(str(piece).encode()).hexdigest()
    tempo = rng.uniform(60.0, 100.0)
    beats = [
        round(beat * 60.0 / tempo * SAMPLE_RATE + rng.uniform(0, 90), 3)
        for beat in range(BEATS_PER_LOOP + 1)
    ]
    return {
        "id": f"{piece:05d}-{digest[:12]}-{number % LOOPS_PER_PIECE:04d}",
        "start": start,
        "beats": [0.0, *beats[1:]],
        "split": "held-out" if piece % 50 == 7 else "train",
        "labels": {
            "tempo_bpm": round(tempo, 2),
            "pulse_clarity": round(rng.random(), 3),
            "recorded_key": rng.choice(["C major", "A minor", "Eb major", "F# minor"]),
            "key_margin": round(rng.random(), 3),
            "transposed_semitones": rng.randrange(-6, 6),
        },
        "provenance": {
            "path": f"artist {piece % 900}/album {piece % 1800}/title of piece {piece}.mp3",
            "sha256": digest,
            "artist": f"artist {piece % 900}",
            "title": f"title of piece {piece}",
            "licence": rng.choice(["CC-BY-4.0", None]),
            "start_seconds": round(rng.uniform(0, 300), 3),
        },
    }


def write_shard(directory, shard, first, n_loops, version):
    starts = MARGIN + LOOP_SAMPLES * np.arange(n_loops)
    records = [record(first + place, int(start)) for place, start in enumerate(starts)]
    if version == 1:
        text = json.dumps(records, ensure_ascii=False, indent=1)
        (directory / f"shard-{shard:05d}.json").write_text(text)
    else:
        path = directory / f"records-{shard:05d}.npz"
        contents = Contents(shard, [Size(n_loops, n_loops * LOOP_SAMPLES)], [[]], True)
        with path.open("wb") as file:
            write_records(file, columns_of(records, [shard] * n_loops, path), contents._asdict())
    return {"n_loops": n_loops, "n_samples": n_loops * LOOP_SAMPLES}


def write_corpus(directory, n_loops, version):
    size = LOOPS_PER_PIECE if version == 1 else LOOPS_PER_SHARD
    index = [
        write_shard(directory, shard, first, min(size, n_loops - first), version)
        for shard, first in enumerate(range(0, n_loops, size))
    ]
    header = {"format_version": version, "source": "folder", "sample_rate": SAMPLE_RATE}
    header |= {"beats_per_loop": BEATS_PER_LOOP, "margin": MARGIN, "tempo_bpm": 80.0}
    header |= {"n_shards": len(index), "n_loops": n_loops, "skipped": []}
    header |= {"shards": index} if version > 1 else {}
    (directory / "corpus.json").write_text(json.dumps(header))


def main():
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--loops", type=int, default=285_000)
    options.add_argument("--format", type=int, choices=(1, 2), default=2)
    options.add_argument("--times", type=int, default=3)
    options = options.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        write_corpus(Path(folder), options.loops, options.format)
        n_bytes = sum(path.stat().st_size for path in Path(folder).iterdir())
        sys.stdout.write(f"format {options.format}: {n_bytes / 1e6:.0f} MB of records\n")
        sys.stdout.flush()
        for _ in range(options.times):
            subprocess.run([sys.executable, "-c", OPEN, folder], check=True)


if __name__ == "__main__":
    main()
