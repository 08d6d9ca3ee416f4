"""The solvers of the benchopt benchmark, each in a process of its own that can be stopped when it takes too long.

Processes are forked, so that they share one copy of the data.  The parent itself imports none of the libraries.
"""

import importlib.util
import itertools
import multiprocessing
from pathlib import Path
from time import perf_counter

SOLVERS = Path(__file__).resolve().parents[1] / "solvers"
# For what is not timed: compiling (10 s for skglm), and computing J.
PATIENCE = 120
fork = multiprocessing.get_context("fork")


def solver_class(stem):
    """The class `Solver` of a file in `solvers/`."""
    spec = importlib.util.spec_from_file_location(f"solver_{stem}", SOLVERS / f"{stem}.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module.Solver


def competitors(wanted):
    """(label, file, parameters) of all installed solvers whose label contains one of the words wanted."""
    found = []
    for path in sorted(SOLVERS.glob("*.py")):
        receiver, sender = fork.Pipe(duplex=False)
        process = fork.Process(target=_describe, args=(sender, path.stem))
        process.start()
        sender.close()
        answer = receiver.recv() if receiver.poll(PATIENCE) else "no answer"
        process.join()
        if isinstance(answer, str):
            print(f"(left out: {path.stem}: {answer})", flush=True)
        else:
            found += answer
    return [entry for entry in found if not wanted or any(word in entry[0] for word in wanted)]


def _describe(sender, stem):
    try:
        solver = solver_class(stem)
    except ImportError as error:
        sender.send(str(error))
        return
    choices = getattr(solver, "parameters", {})
    entries = []
    for values in itertools.product(*choices.values()):
        parameters = dict(zip(choices, values, strict=True))
        words = [value if isinstance(value, str) else f"{name}={value}" for name, value in parameters.items()]
        entries.append((" ".join([solver.name, *words]), stem, parameters))
    sender.send(entries)


class Runner:
    """One competitor on one problem.  After a failure `error` says which, and nothing more is run."""

    def __init__(self, stem, parameters, problem, C, l1_ratio):
        self.arguments = (stem, parameters, problem, C, l1_ratio)
        self.start()

    def start(self):
        """Start the process, load the library, warm up."""
        self.error = None
        self.connection, theirs = fork.Pipe()
        self.process = fork.Process(target=_serve, args=(theirs, *self.arguments), daemon=True)
        self.process.start()
        theirs.close()
        self.stop_values = self._receive(PATIENCE)
        if isinstance(self.stop_values, str):
            self.close(self.stop_values)

    def run(self, stop_value, budget):
        """(seconds, J, violation) of a fit, or None if it fails or takes longer than the budget in seconds."""
        if self.error:
            return None
        self.connection.send(stop_value)
        seconds = self._receive(budget)
        answer = seconds if isinstance(seconds, str) else self._receive(PATIENCE)
        if isinstance(answer, str):
            self.close(answer)
            return None
        return (seconds, *answer)

    def _receive(self, budget):
        if not self.connection.poll(budget):
            return f"over {budget:g} s"
        try:
            return self.connection.recv()
        except EOFError:
            return "crashed"

    def restart(self):
        """Start again if it was stopped."""
        if self.error:
            self.start()

    def close(self, error="closed"):
        """End the process."""
        self.error = self.error or error
        self.process.kill()
        self.process.join()
        self.connection.close()


def _serve(connection, stem, parameters, problem, C, l1_ratio):
    try:
        solver = solver_class(stem).get_instance(**parameters)
        skip, reason = solver.skip(X=problem.X, y=problem.y, C=C, l1_ratio=l1_ratio)
        if skip:
            connection.send(reason)
            return
        solver.set_objective(X=problem.X, y=problem.y, C=C, l1_ratio=l1_ratio)
        solver.warm_up()
        by_iterations = solver.sampling_strategy == "iteration"
        connection.send([4**k for k in range(8)] if by_iterations else [10.0**-k for k in range(1, 13)])
        while True:
            stop_value = connection.recv()
            start = perf_counter()
            solver.run(stop_value)
            connection.send(perf_counter() - start)
            result = problem.evaluate(**solver.get_result())
            connection.send((result["value"], result["violation"]))
    except EOFError:
        pass
    except Exception as error:  # whatever a library raises is its result
        connection.send(f"{type(error).__name__}: {error}"[:200])
