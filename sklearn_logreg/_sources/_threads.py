"""How many threads there may be, and BLAS on one of them; arrays that a thread keeps."""

from __future__ import annotations

from contextlib import contextmanager
from functools import cache
from math import prod
from threading import RLock
from typing import Any

import numpy as np
from threadpoolctl import ThreadpoolController  # comes with scikit-learn, which needs it itself

# Bytes in a cache line, at which every piece of the room begins but for the alignment of the room itself.
LINE = 64


@cache
def _threadpools():
    """The BLAS and OpenMP libraries of this process; looking them up takes milliseconds, so once."""
    return ThreadpoolController()


def allowed_threads():
    """As many threads as BLAS may use now: joblib's workers and threadpoolctl's limits lower it."""
    return min((pool["num_threads"] for pool in _threadpools().info()), default=1)


_limit_lock = RLock()
_limits: list[Any] = []  # one entry a user; the first holds the limit


@contextmanager
def one_blas_thread():
    """BLAS on one thread; the first fit to come sets the limit and the last to leave lifts it, in whatever order."""
    with _limit_lock:
        _limits.append(_limits[0] if _limits else _threadpools().limit(limits=1, user_api="blas"))
    try:
        yield
    finally:
        with _limit_lock:
            limit = _limits.pop()
            if not _limits:
                limit.restore_original_limits()


class Workspace:
    """Arrays that live from block to block, one set a thread, so that a pass allocates next to nothing.

    They are cut from one piece of memory while that lasts.  When a fit ends, the C library returns to the system what
    exceeds twice the largest piece that it ever had back, and each page costs as much as thousands of additions when
    it is wanted again.  With pieces of their own for the copy of X and the block of a Gram matrix, fits of spambase,
    credit_default and magic04 in turn took 1.3 to 1.6 times as long.
    """

    def __init__(self, n_bytes=0):
        self.room = np.empty(n_bytes, np.uint8)
        self.buffers: dict[tuple, np.ndarray] = {}
        self.views: dict[tuple, np.ndarray] = {}

    def array(self, name, shape, dtype=np.float64):
        """An uninitialised C-ordered array: the same memory at each call with this name and dtype."""
        key = name, np.dtype(dtype)
        # On small data this is asked eighty times a fit, mostly for the same shapes.
        view = self.views.get(key)
        if view is not None and view.shape == shape:
            return view
        size = prod(shape)
        buffer = self.buffers.get(key)
        if buffer is None or buffer.size < size:
            buffer = self.buffers[key] = self._cut(size, np.dtype(dtype))
        view = self.views[key] = buffer[:size].reshape(shape)
        return view

    def _cut(self, size, dtype):
        """So many numbers from what is left of the room, if it is enough."""
        n_bytes = size * dtype.itemsize
        if n_bytes > self.room.size:
            return np.empty(size, dtype)
        piece, self.room = self.room[:n_bytes].view(dtype), self.room[-(-n_bytes // LINE) * LINE :]
        return piece
