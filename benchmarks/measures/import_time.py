"""Time of `import sklearn_logreg` once `sklearn.linear_model` is there, each in a fresh process."""

import os
import subprocess
import sys
import tempfile
from statistics import median

from .timing import print_table

PROGRAM = """
from time import perf_counter
start = perf_counter()
import sklearn.linear_model
between = perf_counter()
import sklearn_logreg
print(between - start, perf_counter() - between)
"""


def measure(repeats):
    """Print the median of both imports; the first process compiles, as an installation does, and is left out."""
    runs = []
    with tempfile.TemporaryDirectory() as bytecode:
        environment = {**os.environ, "PYTHONDONTWRITEBYTECODE": "", "PYTHONPYCACHEPREFIX": bytecode}
        for _ in range(repeats + 1):
            options = dict(capture_output=True, text=True, check=True, env=environment)
            run = subprocess.run([sys.executable, "-c", PROGRAM], **options)
            runs.append([float(seconds) for seconds in run.stdout.split()])
    base, ours = (median(column) for column in zip(*runs[1:], strict=True))
    print("### Import\n")
    print_table(
        ["import", "ms"],
        [["sklearn.linear_model", f"{1e3 * base:.0f}"], ["sklearn_logreg after it", f"{1e3 * ours:.1f}"]],
    )
