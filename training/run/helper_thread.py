"""A thread beside the one that trains, to which it leaves all of OpenMP's threads."""

from concurrent.futures import ThreadPoolExecutor

import torch


def helper_thread(name: str) -> ThreadPoolExecutor:
    """One thread, named after what it does, whose torch operations use no more than itself.

    If it had OpenMP threads of its own, all together would be more than there are cores; GNU's
    OpenMP then lets threads sleep between two operations instead of waiting actively, in the thread
    that trains, too (`gomp_throttled_spin_count_var` in libgomp's env.c).
    """
    # A thread takes over the number that was set last unless it has asked for its own before.
    torch.get_num_threads()
    return ThreadPoolExecutor(
        1, thread_name_prefix=name, initializer=torch.set_num_threads, initargs=(1,)
    )
