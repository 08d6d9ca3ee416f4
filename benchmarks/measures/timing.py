"""Timing side by side, and Markdown tables."""

from statistics import median
from time import perf_counter


def interleaved(functions, repeats):
    """Median seconds of each function, called in turn A B A B, after one call that is not timed."""
    seconds = {name: [] for name in functions}
    for function in functions.values():
        function()
    for _ in range(repeats):
        for name, function in functions.items():
            start = perf_counter()
            function()
            seconds[name].append(perf_counter() - start)
    return {name: median(values) for name, values in seconds.items()}


def print_table(header, rows):
    """A Markdown table."""
    print("| " + " | ".join(header) + " |")
    print("|" + "---|" * len(header))
    for row in rows:
        print("| " + " | ".join(str(cell) for cell in row) + " |", flush=True)
    print()
