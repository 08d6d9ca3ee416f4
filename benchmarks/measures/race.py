"""Time to a relative suboptimality of 1e-6, side by side.

1. Every competitor sweeps its tolerance from 0.1 down by decades, one fit each, until the violation is below 1e-9.
2. min J is the lowest value that anybody reached.
3. A competitor's time is that of the loosest tolerance whose fit comes within 1e-6 (relative) of min J: all are timed
   again, in turn A B A B, and the median is taken.
"""

import json
import time
from math import isfinite
from statistics import median

from benchmark_utils.data import load, standardise
from benchmark_utils.problem import Problem

from .competitors import Runner, competitors

TARGET = 1e-6
FINE = 1e-9
OURS = "sklearn_logreg preconditioned"
DEFAULT_TOL = 1e-6
# Seconds for the threads of the previous library to fall asleep: those of OpenBLAS keep a core busy for 0.1 s.
PAUSE = 0.2


def race(names, Cs, l1_ratios, standardised, wanted, budget, repeats, output):
    """Run all races; one JSON line each goes to the file `output`."""
    field = competitors(wanted)
    for name in names:
        X, y = load(name)
        if standardised:
            X = standardise(X)
        for C in Cs:
            for l1_ratio in l1_ratios:
                record = {"data": name + " (standardised)" * standardised, "n": X.shape[0], "d": X.shape[1]}
                record |= {"classes": int(y.max()) + 1, "C": C, "l1_ratio": l1_ratio, "budget": budget}
                record |= one_race(field, Problem(X, y, C, l1_ratio), C, l1_ratio, budget, repeats)
                with open(output, "a") as file:
                    file.write(json.dumps(record) + "\n")
                times = {label: f"{1e3 * r['seconds']:.3g} ms" for label, r in record["times"].items()}
                print(f"{record['data']} C={C:g} l1_ratio={l1_ratio:g}: {times}", flush=True)


def one_race(field, problem, C, l1_ratio, budget, repeats):
    """Times and errors of all competitors on one problem."""
    runners = {label: Runner(stem, parameters, problem, C, l1_ratio) for label, stem, parameters in field}
    sweeps = {label: sweep(runner, budget) for label, runner in runners.items()}
    errors = {label: runner.error for label, runner in runners.items() if runner.error}
    _, minimum, violation = min((fit for fits in sweeps.values() for _, *fit in fits), key=lambda fit: fit[1])

    entries = {}
    for label, fits in sweeps.items():
        reached = [stop_value for stop_value, _, value, _ in fits if value <= minimum + TARGET * abs(minimum)]
        if reached:
            entries[label] = (label, reached[0])
            # It may have been stopped later on, at a tighter tolerance.
            runners[label].restart()
            errors.pop(label, None)
        else:
            errors.setdefault(label, "does not arrive")
    if sweeps.get(OURS):
        # The package as it comes, whatever it reaches.
        runners[OURS].restart()
        entries["default tol"] = (OURS, DEFAULT_TOL)

    runs = time_in_turn(runners, entries, budget, repeats)
    for runner in runners.values():
        runner.close()
    times = {name: outcome(fits, entries[name][1], minimum) for name, fits in runs.items() if fits}
    curves = {label: curve(fits, minimum) for label, fits in sweeps.items() if fits}
    return {"minimum": minimum, "violation": violation, "times": times, "errors": errors, "curves": curves}


def sweep(runner, budget):
    """(stop value, seconds, J, violation) of one fit a stop value, loose to tight, for at most three budgets."""
    fits, spent = [], 0.0
    for stop_value in [] if runner.error else runner.stop_values:
        fit = runner.run(stop_value, budget)
        if fit is None and fits and fits[-1][1] < budget / 4:
            # A decade does not make a fit four times slower; a busy neighbour does.  Once more.
            runner.restart()
            fit = runner.run(stop_value, budget)
        if fit is None:
            break
        if isfinite(fit[1]):
            fits.append((stop_value, *fit))
        spent += fit[0]
        if fit[2] <= FINE or spent > 3 * budget:
            break
    return fits


def curve(fits, minimum):
    """(seconds, relative suboptimality) of a sweep, for the plots."""
    return [(seconds, (value - minimum) / abs(minimum)) for _, seconds, value, _ in fits]


def time_in_turn(runners, entries, budget, repeats):
    """(seconds, J, violation) of each run of each entry, label -> (competitor, stop value), run in turn."""
    fits = {name: [] for name in entries}
    for _ in range(repeats):
        for name, (label, stop_value) in entries.items():
            time.sleep(PAUSE)
            fit = runners[label].run(stop_value, budget)
            if fit:
                fits[name].append(fit)
    return fits


def outcome(fits, stop_value, minimum):
    """What the table needs of the runs of one entry."""
    seconds, values, violations = zip(*fits, strict=True)
    return {
        "seconds": median(seconds),
        "fastest": min(seconds),
        "slowest": max(seconds),
        "suboptimality": (values[-1] - minimum) / abs(minimum),
        "violation": violations[-1],
        "stop_value": stop_value,
    }
