"""Memory that is used again: by a thread from block to block, by a process from fit to fit."""

from __future__ import annotations

from math import prod

import numpy as np

# glibc asks the system for a large array's memory and returns it when the array goes, and each page of it costs as much
# as thousands of additions when it is touched again.  Once such a piece has come back, arrays up to its size come from
# memory that the process keeps, up to twice the size (mallopt(3), M_MMAP_THRESHOLD): this one is never touched.  Fits
# in a loop took 0.8 of the time on dermatology, 0.85 on w8a and usps, 0.85 on imdb5k (elastic net); pieces of 4 and 8
# MiB gained half of that, 32 MiB as much.  Other C libraries take no notice.
np.empty(2**24, np.uint8)


class Workspace:
    """Arrays that live from block to block, one set a thread, so that a pass allocates next to nothing."""

    def __init__(self):
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
            buffer = self.buffers[key] = np.empty(size, dtype)
        view = self.views[key] = buffer[:size].reshape(shape)
        return view
