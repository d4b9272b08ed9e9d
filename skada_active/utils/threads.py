"""Number of threads inside of numerical libraries, the same wherever a piece of work runs."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from threading import Lock
from typing import Any

from threadpoolctl import threadpool_limits

__all__ = ["inner_threads"]

_LOCK = Lock()
#: Those who are inside, and what was set for the first of them: the numbers are the process's, not a thread's.
_inside: list[int] = []
_limits: list[Any] = []


@contextmanager
def inner_threads(n_threads: int) -> Iterator[None]:
    """Let BLAS, OpenMP and torch compute with `n_threads` threads inside the block.

    Sums come out differently with the number of threads, which joblib's backends choose differently. Threads of one
    process that are inside at a time have to ask for the same number; the last one that leaves restores what was.

    Parameters
    ----------
    n_threads : int
        Number of threads.
    """
    import torch  # here, for most of the package works without it

    before = torch.get_num_threads()  # of this thread, where torch has OpenMP
    with _LOCK:
        if not _inside:
            _limits.append(threadpool_limits(n_threads))
        _inside.append(n_threads)
    torch.set_num_threads(n_threads)
    try:
        yield
    finally:
        with _LOCK:
            _inside.remove(n_threads)
            if not _inside:
                _limits.pop().restore_original_limits()
        torch.set_num_threads(before)
