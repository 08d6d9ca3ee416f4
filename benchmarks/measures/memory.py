"""Peak memory that `fit` takes beyond X, y and the loaded libraries, in a fresh process for each storage.

Linux with glibc only: the peak is the high-water mark of the resident memory, reset just before `fit`.
"""

import ctypes
import json
import subprocess
import sys
from pathlib import Path

import numpy as np
from scipy import sparse

from .timing import print_table

STORAGES = ["float64 C", "float64 F", "float32 C", "float32 F", "float64 CSR", "float32 CSR", "int8 C", "float16 C"]


def measure(megabytes, n_features):
    """Print the peak for each storage of X of so many megabytes."""
    rows = []
    for storage in STORAGES:
        command = [sys.executable, "-m", "measures.memory", storage, str(megabytes), str(n_features)]
        folder = Path(__file__).resolve().parents[1]
        run = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
        if run.returncode:
            rows.append([storage, "", "", "", run.stderr.strip().splitlines()[-1]])
            continue
        result = json.loads(run.stdout.splitlines()[-1])
        share = result["extra"] / result["X"]
        rows.append(
            [storage, result["shape"], f"{result['X'] / 1e6:.0f}", f"{result['extra'] / 1e6:.1f}", f"{share:.1%}"]
        )
    print(f"### Extra memory of fit, X of about {megabytes} MB\n")
    print_table(["X", "shape", "X, MB", "extra, MB", "extra / X"], rows)


def make(storage, megabytes, n_features):
    """X filled piece by piece, so that making it leaves no higher mark than X itself; y; the bytes of X."""
    dtype, order = storage.split()
    dtype = np.dtype(dtype)
    rng = np.random.default_rng(0)
    if order == "CSR":
        per_row = max(1, n_features // 10)
        n = int(megabytes * 1e6 / (per_row * (dtype.itemsize + 4)))
        data, indices = np.ones(n * per_row, dtype), np.empty(n * per_row, np.int32)
        starts = rng.integers(0, n_features - per_row + 1, size=n, dtype=np.int32)
        indices.reshape(n, per_row)[:] = starts[:, None]
        indices.reshape(n, per_row)[:] += np.arange(per_row, dtype=np.int32)
        X = sparse.csr_matrix((data, indices, np.arange(n + 1, dtype=np.int32) * per_row), shape=(n, n_features))
        score, n_bytes = starts - n_features / 2, data.nbytes + indices.nbytes
    else:
        n = int(megabytes * 1e6 / (n_features * dtype.itemsize))
        X = np.empty((n, n_features), dtype, order=order)
        for start in range(0, n, 10_000):
            block = X[start : start + 10_000]
            # Of such a mean that the sum of all overflows in float16.
            block[:] = 3 * (1 + rng.standard_normal(block.shape))
        score, n_bytes = X[:, 0].astype(np.float64) - 3, X.nbytes
    y = (score + np.std(score) * rng.standard_normal(n) > 0).astype(np.int64)
    return X, y, n_bytes


def resident(key):
    """A line of /proc/self/status in bytes."""
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith(key):
            return int(line.split()[1]) * 1024
    raise RuntimeError(f"no {key} in /proc/self/status")


def fit_once(storage, megabytes, n_features):
    """In the fresh process: fit once and print what it took."""
    from sklearn_logreg import LogisticRegression

    # A first, small fit loads what is loaded once: lazy imports, threads, the buffers of BLAS.
    X, y, _ = make(storage, 8, n_features)
    LogisticRegression().fit(X, y)
    X, y, n_bytes = make(storage, megabytes, n_features)
    # What glibc keeps of freed memory would serve the fit without being counted.
    ctypes.CDLL(None).malloc_trim(0)
    Path("/proc/self/clear_refs").write_text("5")
    before = resident("VmRSS")
    LogisticRegression().fit(X, y)
    extra = resident("VmHWM") - before
    print(json.dumps({"X": n_bytes, "extra": extra, "shape": f"{X.shape[0]} x {X.shape[1]}"}))


if __name__ == "__main__":
    fit_once(sys.argv[1], float(sys.argv[2]), int(sys.argv[3]))
