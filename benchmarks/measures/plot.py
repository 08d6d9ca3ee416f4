"""Convergence curves from the JSON lines that `race` writes."""

import matplotlib.pyplot as plt

from .race import OURS, TARGET
from .report import read

# Below this, differences of J are rounding.
FLOOR = 1e-14
COLUMNS = 4


def plot(path, names, Cs, output):
    """A panel for each problem: relative suboptimality against the time of the fit, one point a tolerance."""
    races = [race for race in read(path) if race["C"] in Cs and (not names or race["data"] in names)]
    n_rows = -(-len(races) // COLUMNS)
    figure, axes = plt.subplots(n_rows, COLUMNS, figsize=(3.2 * COLUMNS, 2.6 * n_rows), sharey=True, squeeze=False)
    labels = sorted({label for race in races for label in race["curves"]} - {OURS})
    colours = dict(zip(labels, plt.get_cmap("tab20").colors, strict=False))
    for panel, race in zip(axes.flat, races, strict=False):
        for label, points in race["curves"].items():
            seconds, errors = zip(*points, strict=True)
            style = {"color": "black", "lw": 2, "zorder": 3} if label == OURS else {"color": colours[label], "lw": 1}
            panel.plot(seconds, [max(error, FLOOR) for error in errors], ".-", ms=4, label=label, **style)
        panel.axhline(TARGET, color="grey", lw=0.5)
        panel.set(title=f"{race['data']}, C = {race['C']:g}", xscale="log", yscale="log", ylim=(FLOOR / 2, 10.0))
        panel.title.set_fontsize(9)
    for panel in axes.flat[len(races) :]:
        panel.axis("off")
    figure.supxlabel("seconds")
    figure.supylabel("(J - min J) / min J")
    drawn = {label: line for panel in axes.flat for line, label in zip(*panel.get_legend_handles_labels(), strict=True)}
    figure.legend(drawn.values(), drawn.keys(), loc="outside lower center", ncols=4, fontsize=8)
    figure.set_layout_engine("constrained")
    figure.savefig(output, dpi=100)
