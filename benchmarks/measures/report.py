"""Tables from the JSON lines that `race` writes."""

import json
from collections import defaultdict
from math import exp, log

from .race import OURS, TARGET
from .timing import print_table

DEFAULT = "scikit-learn lbfgs"
PLAIN = ("gradient descent", "sklearn_logreg nesterov")
# Above this violation at the lowest J that anybody reached, the minimum is not known well enough to judge.
CERTAIN = 1e-5


def report(path):
    """Print a table for each penalty, the geometric means, and where the package loses."""
    by_penalty = defaultdict(list)
    for record in read(path):
        kind = "softmax" if record["classes"] > 2 else "two classes"
        by_penalty[f"l1_ratio = {record['l1_ratio']:g}, {kind}"].append(record)
    for title, group in by_penalty.items():
        print(f"### Milliseconds to a relative suboptimality of {TARGET:g}: {title}\n")
        summary(group)
        everybody(group)


def read(path):
    """The races in a file."""
    with open(path) as file:
        return [json.loads(line) for line in file]


def seconds(record, label):
    """Time of a competitor, None where it does not arrive."""
    entry = record["times"].get(label)
    return entry and entry["seconds"]


def best_peer(record):
    """(seconds, label) of the fastest that is not of this package."""
    peers = [
        (e["seconds"], label) for label, e in record["times"].items() if label not in (OURS, "default tol", *PLAIN)
    ]
    return min(peers, default=(None, "nobody"))


def summary(records):
    """The package against scikit-learn's default and the best peer."""
    rows, losses = [], []
    ratios = {"scikit-learn's default": [], "the best peer": []}
    for record in records:
        certain = record["violation"] <= CERTAIN
        ours, default, (best, who) = seconds(record, OURS), seconds(record, DEFAULT), best_peer(record)
        for name, other in zip(ratios, (default, best), strict=True):
            if ours and other and certain:
                ratios[name].append(other / ours)
        if certain and best and (not ours or best < ours):
            losses.append(f"{record['data']} at C = {record['C']:g} ({who}: {ratio(best, ours) or 'we do not arrive'})")
        as_it_comes = record["times"].get("default tol", {})
        first = [record["data"], f"{record['n']} x {record['d']}", f"{record['C']:g}"]
        package = [milliseconds(ours), milliseconds(as_it_comes.get("seconds")), error(as_it_comes)]
        peers = [milliseconds(default), ratio(default, ours), f"{milliseconds(best)} ({who})", ratio(best, ours)]
        rows.append([*first, *package, *peers, f"{record['violation']:.0e}" + " (uncertain)" * (not certain)])
    header = ["data", "n x d", "C", "ours", "ours, default `tol`", "its suboptimality", "scikit-learn lbfgs", "ratio"]
    print_table([*header, "best peer", "ratio", "violation at min J"], rows)
    for name, values in ratios.items():
        if values:
            mean = exp(sum(map(log, values)) / len(values))
            numbers = f"geometric mean {mean:.2f}, least {min(values):.2f}, over {len(values)} of {len(records)}"
            print(f"Time of {name} / ours, where both arrive: {numbers}.")
    print(f"\nWhere we lose: {'; '.join(losses) or 'nowhere here'}.\n")


def everybody(records):
    """All competitors that arrive anywhere; the others are named with their reason."""
    labels = sorted({label for record in records for label in record["times"]} - {"default tol"})
    rows = []
    for record in records:
        cells = [milliseconds(seconds(record, label)) or record["errors"].get(label, "") for label in labels]
        rows.append([record["data"], f"{record['C']:g}", *cells])
    print_table(["data", "C", *labels], rows)
    absent = {f"{label}: {why}" for r in records for label, why in r["errors"].items() if label not in labels}
    if absent:
        print("Nowhere: " + "; ".join(sorted(absent)) + ".\n")


def milliseconds(value):
    """Three digits, or nothing."""
    return "" if value is None else f"{1e3 * value:.3g}"


def ratio(other, ours):
    """How many times our time the other takes."""
    return f"{other / ours:.2f}" if other and ours else ""


def error(entry):
    """Relative suboptimality; rounding may take it below zero."""
    return f"{max(entry['suboptimality'], 0.0):.0e}" if entry else ""
