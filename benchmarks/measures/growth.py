"""How the time of `fit` grows with the number of rows, at the same C."""

from math import log

from benchmark_utils.data import generate

from sklearn_logreg import LogisticRegression

from .timing import interleaved, print_table

SIZES = [10_000, 30_000, 100_000, 300_000, 1_000_000, 2_000_000, 4_000_000]


def measure(max_rows, n_features, repeats):
    """Print time, passes and the exponent of growth from each size to the next."""
    X, y = generate(max(n for n in SIZES if n <= max_rows), n_features)
    rows, first, last = [], None, None
    for n in [n for n in SIZES if n <= max_rows]:
        model = LogisticRegression()
        seconds = interleaved({"fit": lambda model=model, n=n: model.fit(X[:n], y[:n])}, repeats)["fit"]
        exponent = "" if last is None else f"{log(seconds / last[1]) / log(n / last[0]):.2f}"
        rows.append([n, f"{1e3 * seconds:.1f}", f"{1e9 * seconds / n:.0f}", int(model.n_iter_[0]), exponent])
        first, last = first or (n, seconds), (n, seconds)
    print(f"### Growth with n, d = {n_features}, C = 1\n")
    print_table(["n", "fit, ms", "ns a row", "passes", "exponent from the row above"], rows)
    if first != last:
        print(f"From n = {first[0]} to {last[0]}: n^{log(last[1] / first[1]) / log(last[0] / first[0]):.2f}\n")
