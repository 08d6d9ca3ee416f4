"""How many threads there may be, and BLAS on one of them."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from threading import RLock
from typing import Any

from threadpoolctl import ThreadpoolController  # comes with scikit-learn, which needs it itself


@cache
def _libraries():
    """The BLAS and OpenMP libraries of this process; looking them up takes milliseconds, so once."""
    return ThreadpoolController().lib_controllers


def allowed_threads():
    """As many threads as BLAS may use now: joblib's workers and threadpoolctl's limits lower it."""
    return min((library.num_threads for library in _libraries()), default=1)


def _set_threads(library, n_threads):
    """Let a library have so many threads.

    From version 3.8 on threadpoolctl leaves OpenBLAS, whose threads are those of the process, to the first thread that
    sets their number, and ignores all others until that one lets go.
    """
    library.set_num_threads(n_threads)
    if hasattr(library, "clear_controlling_thread"):
        library.clear_controlling_thread()


class SharedContext:
    """A state of the process, as a context of several threads, which come and leave in any order.

    A subclass's ``begin`` is called whenever one comes, while ``n_users`` are there already, and its ``end`` when the
    last leaves.  A context of each thread's own would restore what it found, be that another's.
    """

    begin: Callable[..., Any]
    end: Callable[..., Any]

    def __init__(self):
        self.lock = RLock()
        self.n_users = 0

    def __enter__(self):
        with self.lock:
            self.begin()
            self.n_users += 1

    def __exit__(self, *_):
        with self.lock:
            self.n_users -= 1
            if not self.n_users:
                self.end()


class _OneBlasThread(SharedContext):
    """BLAS on one thread.

    threadpoolctl's own context asks all libraries of the process for all they know each time, which takes 35
    microseconds.
    """

    def __init__(self):
        super().__init__()
        self.limited: list[tuple[Any, int]] = []

    def begin(self):
        """Set it in this thread: MKL, and OpenBLAS built with OpenMP, have a number for each."""
        for library in _libraries():
            n_threads = library.num_threads if library.user_api == "blas" else 1
            if n_threads and n_threads > 1:
                _set_threads(library, 1)
                # Another thread's limit may be in force, which this one does not change and must not lift.
                if library.num_threads == 1:
                    self.limited.append((library, n_threads))

    def end(self):
        while self.limited:
            _set_threads(*self.limited.pop())


one_blas_thread = _OneBlasThread()
