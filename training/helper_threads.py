"""Threads beside the main one, to which they leave all of OpenMP's threads."""

from concurrent.futures import ThreadPoolExecutor

import torch


def helper_threads(name: str, n: int = 1) -> ThreadPoolExecutor:
    """Threads, named after what they do, whose torch operations use no more than themselves.

    If each had OpenMP threads of its own, all together would be more than there are cores; GNU's
    OpenMP then lets threads sleep between two operations instead of waiting actively, in the main
    thread, too (`gomp_throttled_spin_count_var` in libgomp's env.c).
    """
    # A thread takes over the number that was set last unless it has asked for its own before.
    torch.get_num_threads()
    return ThreadPoolExecutor(
        n, thread_name_prefix=name, initializer=torch.set_num_threads, initargs=(1,)
    )
