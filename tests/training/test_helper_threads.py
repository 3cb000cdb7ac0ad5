"""Threads beside the one that trains use one core, and it keeps its own number of threads."""

import subprocess
import sys

PROGRAM = """
from concurrent.futures import ThreadPoolExecutor
import torch
from training.helper_threads import helper_threads
with ThreadPoolExecutor(1) as pool:
    usual = pool.submit(torch.get_num_threads).result()
with helper_threads("page") as pool:
    print(pool.submit(torch.get_num_threads).result(), torch.get_num_threads() == usual)
"""


def test_a_helper_uses_one_thread_and_leaves_the_others_to_the_training():
    # In a process of its own, whose number of threads was not requested before.
    command = [sys.executable, "-c", PROGRAM]
    result = subprocess.run(command, capture_output=True, text=True, check=True)
    assert result.stdout.split() == ["1", "True"]
