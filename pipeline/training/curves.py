"""Training curves as a picture."""

import csv
from pathlib import Path

import matplotlib as mpl

mpl.use("Agg")
from matplotlib import pyplot as plt


def draw_curves(log: Path, picture: Path) -> None:
    """Draw loss and Dice of a training log (CSV with a column ``step``) into a PNG."""
    with log.open() as stream:
        rows = list(csv.DictReader(stream))
    if not rows:
        return
    steps = [float(row["step"]) for row in rows]
    figure, (left, right) = plt.subplots(1, 2, figsize=(11, 4))
    left.plot(steps, [float(row["loss"]) for row in rows])
    left.set(xlabel="step", ylabel="training loss")
    for name in ("brain", "WT", "TC", "ET"):
        if name in rows[0]:
            right.plot(steps, [float(row[name]) for row in rows], label=name)
    right.set(xlabel="step", ylabel="Dice, heads held out", ylim=(0, 1))
    right.legend()
    figure.tight_layout()
    figure.savefig(picture, dpi=90)
    plt.close(figure)
