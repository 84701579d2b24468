"""Threads for compiled loops and for products, which let go of Python's lock."""

import os
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from functools import cache
from threading import Barrier, Lock
from typing import TypeVar

import torch

Item = TypeVar("Item")
Result = TypeVar("Result")


def cores() -> int:
    """Cores that this process may use; a worker's share is in OMP_NUM_THREADS."""
    allowed = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    share = os.environ.get("OMP_NUM_THREADS", "")
    return min(allowed or 1, int(share)) if share.isdigit() and int(share) else allowed or 1


def side_by_side(
    call: Callable[[Item], Result], items: Iterable[Item], threads: int = 0
) -> list[Result]:
    """Results of a call for every item, in their order; it must not use this function itself.

    Args:
        call: to make.
        items: what with, at least one.
        threads: at work; 0: one per core.
    """
    first, *others = items
    at_work = threads or cores()
    if not others or at_work < 2:
        return [call(first), *map(call, others)]
    futures = [_pool(at_work).submit(call, item) for item in others]
    # here and not over there: waking a thread may take as long as a small search
    return [call(first), *(future.result() for future in futures)]


@contextmanager
def own_cores(threads: int) -> Iterator[ThreadPoolExecutor]:
    """Threads in which torch multiplies on one core each; what they have not begun is dropped."""
    pool = ThreadPoolExecutor(threads)
    try:
        _multiply_alone(pool, threads)
        yield pool
    finally:
        pool.shutdown(cancel_futures=True)


def _multiply_alone(pool: ThreadPoolExecutor, threads: int) -> None:
    """Tell every thread of a pool; what it sets is the process's number for new threads, too."""
    all_told = Barrier(threads + 1)

    def tell() -> None:
        # it takes over the process's number when it first asks, and not later
        torch.get_num_threads()
        torch.set_num_threads(1)
        all_told.wait()

    with _telling:
        before = torch.get_num_threads()
        for _ in range(threads):
            pool.submit(tell)
        all_told.wait()
        torch.set_num_threads(before)


_telling = Lock()


@cache
def _pool(threads: int) -> ThreadPoolExecutor:
    # kept: starting threads takes longer than a search
    return ThreadPoolExecutor(threads)


# the threads of a process are not there in its fork
os.register_at_fork(after_in_child=_pool.cache_clear)
