"""How many threads there may be, and BLAS on one of them; arrays that a thread keeps."""

from __future__ import annotations

from contextlib import contextmanager
from functools import cache
from math import prod
from threading import RLock
from typing import Any

import numpy as np
from threadpoolctl import ThreadpoolController  # comes with scikit-learn, which needs it itself


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
    """Arrays that live from block to block, one set a thread, so that a pass allocates next to nothing."""

    def __init__(self):
        self.buffers = {}

    def array(self, name, shape, dtype=np.float64):
        """An uninitialised C-ordered array: the same memory at each call with this name."""
        size = prod(shape)
        buffer = self.buffers.get(name)
        if buffer is None or buffer.size < size:
            buffer = self.buffers[name] = np.empty(size, dtype)
        return buffer[:size].reshape(shape)
