"""What benchopt does not measure; see docs/benchmarks.md.

python benchmarks/measure.py machine
python benchmarks/measure.py pass --rows 1000000 --features 100
python benchmarks/measure.py memory --megabytes 400
python benchmarks/measure.py growth --max-rows 4000000
python benchmarks/measure.py import
python benchmarks/measure.py kernels --data breast_cancer
python benchmarks/measure.py race --data breast_cancer digits generated:20000:30 --output race.jsonl
python benchmarks/measure.py report race.jsonl
python benchmarks/measure.py plot race.jsonl --output convergence.png
"""

import argparse
import os

# Settings that make BLAS choose another kernel than it would for this processor; read once, when BLAS is loaded.
for variable in ("OPENBLAS_CORETYPE", "OPENBLAS_L2_SIZE"):
    os.environ.pop(variable, None)


def parse():
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    commands = parser.add_subparsers(dest="command", required=True)

    commands.add_parser("machine", help="processor, cores, versions")

    command = commands.add_parser("pass", help="one pass against a bare read of X")
    command.add_argument("--rows", type=int, default=1_000_000)
    command.add_argument("--features", type=int, default=100)
    command.add_argument("--density", type=float, default=0.1, help="of the CSR matrix")
    command.add_argument("--repeats", type=int, default=7)

    command = commands.add_parser("memory", help="peak extra memory of fit in a fresh process")
    command.add_argument("--megabytes", type=float, default=400)
    command.add_argument("--features", type=int, default=100)

    command = commands.add_parser("growth", help="time of fit against the number of rows")
    command.add_argument("--max-rows", type=int, default=4_000_000)
    command.add_argument("--features", type=int, default=30)
    command.add_argument("--repeats", type=int, default=3)

    command = commands.add_parser("import", help="time of the import beyond sklearn.linear_model")
    command.add_argument("--repeats", type=int, default=7)

    command = commands.add_parser("kernels", help="the share of bare library calls in a fit, two classes")
    command.add_argument("--data", nargs="*", help="names; default: bundled sets and all of $LOGREG_BENCHMARK_DATA")
    command.add_argument("--C", nargs="*", type=float, default=[1.0, 100.0])
    command.add_argument("--l1-ratio", nargs="*", type=float, default=[0.0])
    command.add_argument("--repeats", type=int, default=15)

    command = commands.add_parser("race", help="time to a relative suboptimality of 1e-6, all competitors side by side")
    command.add_argument("--data", nargs="*", help="names; default: bundled sets and all of $LOGREG_BENCHMARK_DATA")
    command.add_argument("--C", nargs="*", type=float, default=[1.0, 100.0])
    command.add_argument("--l1-ratio", nargs="*", type=float, default=[0.0])
    command.add_argument("--standardise", action="store_true")
    command.add_argument("--competitors", nargs="*", default=[], help="words in their names; default: all installed")
    command.add_argument(
        "--budget", type=float, default=10.0, help="seconds for one fit; the sweep may take three times it"
    )
    command.add_argument("--repeats", type=int, default=5)
    command.add_argument("--output", default="race.jsonl", help="a line is added for each problem")

    command = commands.add_parser("report", help="tables from the output of race")
    command.add_argument("path")

    command = commands.add_parser("plot", help="convergence curves from the output of race; needs matplotlib")
    command.add_argument("path")
    command.add_argument("--data", nargs="*", help="names; default: all in the file")
    command.add_argument("--C", nargs="*", type=float, default=[1.0, 100.0])
    command.add_argument("--output", default="convergence.png")
    return parser.parse_args()


def main():
    """Run one measurement; what it needs is imported only then."""
    args = parse()
    if args.command == "machine":
        from measures.machine import describe

        describe()
    elif args.command == "pass":
        from measures.pass_cost import measure

        measure(args.rows, args.features, args.density, args.repeats)
    elif args.command == "memory":
        from measures.memory import measure

        measure(args.megabytes, args.features)
    elif args.command == "growth":
        from measures.growth import measure

        measure(args.max_rows, args.features, args.repeats)
    elif args.command == "import":
        from measures.import_time import measure

        measure(args.repeats)
    elif args.command == "kernels":
        from benchmark_utils.data import BUNDLED, npz_names
        from measures.kernels import measure

        measure(args.data or [*BUNDLED, *npz_names()], args.C, args.l1_ratio, args.repeats)
    elif args.command == "race":
        from benchmark_utils.data import BUNDLED, npz_names
        from measures.race import race

        names = args.data or [*BUNDLED, *npz_names()]
        options = (args.standardise, args.competitors, args.budget, args.repeats, args.output)
        race(names, args.C, args.l1_ratio, *options)
    elif args.command == "report":
        from measures.report import report

        report(args.path)
    else:
        from measures.plot import plot

        plot(args.path, args.data, args.C, args.output)


if __name__ == "__main__":
    main()
