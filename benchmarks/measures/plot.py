"""Convergence curves from the JSON lines that `race` writes."""

from itertools import cycle

import matplotlib.pyplot as plt
from matplotlib.ticker import NullFormatter

from .race import OURS, TARGET
from .report import read

# Below this, differences of J are rounding.
FLOOR = 1e-14
COLUMNS = 4


def plot(path, names, Cs, output):
    """A panel for each problem: relative suboptimality against the time of the fit, one point a tolerance."""
    races = [race for race in read(path) if race["C"] in Cs and (not names or race["data"] in names)]
    if not races:
        raise SystemExit(f"{path} has no race of data {names} at C {Cs}.")
    n_rows = -(-len(races) // COLUMNS)
    figure, axes = plt.subplots(
        n_rows, COLUMNS, figsize=(3.2 * COLUMNS, 2.6 * n_rows), sharex=True, sharey=True, squeeze=False
    )
    labels = sorted({label for race in races for label in race["curves"]} - {OURS})
    colours = dict(zip(labels, cycle(plt.get_cmap("tab20").colors), strict=False))
    for panel, race in zip(axes.flat, races, strict=False):
        for label, points in race["curves"].items():
            seconds, errors = zip(*points, strict=True)
            style = {"color": "black", "lw": 2, "zorder": 3} if label == OURS else {"color": colours[label], "lw": 1}
            panel.plot(seconds, [max(error, FLOOR) for error in errors], ".-", ms=4, label=label, **style)
        title = f"{race['data']}, C = {race['C']:g}" + f", l1_ratio = {race['l1_ratio']:g}" * bool(race["l1_ratio"])
        panel.axhline(TARGET, color="grey", lw=0.5)
        panel.set(title=title, xscale="log", yscale="log", ylim=(FLOOR / 2, 10.0))
        panel.title.set_fontsize(9)
        panel.xaxis.set_minor_formatter(NullFormatter())
    for panel in axes.flat[len(races) :]:
        panel.axis("off")
    for panel in axes[-1]:
        panel.set_xlabel("seconds")
    for panel in axes[:, 0]:
        panel.set_ylabel("(J - min J) / min J")
    drawn = {label: line for panel in axes.flat for line, label in zip(*panel.get_legend_handles_labels(), strict=True)}
    figure.legend(drawn.values(), drawn.keys(), loc="outside lower center", ncols=4, fontsize=8)
    figure.set_layout_engine("constrained")
    figure.savefig(output, dpi=80)
