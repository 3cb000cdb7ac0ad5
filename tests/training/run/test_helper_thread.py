"""Threads beside the one that trains use one core, and it keeps its own number of threads."""

import os
import subprocess
import sys

PROGRAM = """
import torch
from training.run.helper_thread import helper_thread
with helper_thread("page") as pool:
    print(pool.submit(torch.get_num_threads).result(), torch.get_num_threads())
"""


def test_a_helper_uses_one_thread_and_leaves_the_others_to_the_training():
    # In a process of its own: how many threads torch uses is a setting of the process.
    environment = {**os.environ, "OMP_NUM_THREADS": "3"}
    command = [sys.executable, "-c", PROGRAM]
    result = subprocess.run(command, env=environment, capture_output=True, text=True, check=True)
    assert result.stdout.split() == ["1", "3"]
