"""The number of candidates n: its effect on accuracy (Table 3, as gains) and on policy entropy (the appendix)."""

from __future__ import annotations

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import ScalarFormatter

from intro.analysis.data import cells
from intro.analysis.data.inputs import Inputs, under
from intro.analysis.data.results import BASE
from intro.analysis.figures import lines, style
from intro.analysis.stats.intervals import Interval, of_replicates
from intro.analysis.tables.build import final_entropy
from intro.experiments import methods_by_n


def draw_average(inputs: Inputs) -> Figure:
    """Gain over the base model against n, beside the paper's."""
    config, model = inputs.config, inputs.config.ablation_n.model
    gains = {n: cells.gain(inputs.results, model, method) for n, method in methods_by_n(config).items()}
    gains = {n: gain for n, gain in gains.items() if gain is not cells.NOTHING}
    if not gains:
        return style.nothing("No ablation over n, or no base model, in this configuration.")
    ink, ns = style.colour(config, config.ablation_n.method), list(gains)
    figure, axes = style.blank(height=2.8, width=4.6)
    panel = axes[0, 0]
    panel.axhline(0, color=style.SOFT, lw=0.9)
    ends = [(gains[ns[-1]].value, "this run", ink), (0.0, "base", style.SOFT)]
    reported = reported_gains(inputs, style.stands_for(config, model))
    if len(shape := [(n, reported[n]) for n in ns if n in reported]) > 1:
        dashes = {"ls": (0, (3, 2)), "marker": "o", "ms": 3, "mfc": "white"}
        panel.plot(*zip(*shape, strict=True), color=style.INK, lw=1, **dashes)
        ends.append((shape[-1][1], "paper", style.INK))
    runs = [cells.gain_by_run(inputs.results, model, methods_by_n(config)[n]) for n in ns]
    _against_n(panel, ns, list(gains.values()), runs, [ink] * len(ns), ink)
    panel.set_ylabel("gain over the base model, % points")
    panel.set_title(style.model_title(config, model))
    style.end_labels(panel, ends)
    return figure


def draw_entropy(inputs: Inputs) -> Figure:
    """Left: entropy over training, darker for larger n. Right: its mean over the last quarter of training."""
    config = inputs.config
    metrics = under(inputs.frame("metrics"), "paper")
    metrics = metrics[metrics.model == config.ablation_n.model].dropna(subset=["entropy"])
    methods = {n: m for n, m in methods_by_n(config).items() if m in set(metrics.method)}
    if not methods:
        return style.nothing("No policy entropy over n in this configuration.")
    figure, ((left, right),) = style.blank(2, height=2.7, gridspec_kw={"width_ratios": [3, 2]}, sharey=True)
    ends, runs = [], []
    ramp = style.ramp(len(methods), style.colour(config, config.ablation_n.method))
    for (n, method), ink in zip(methods.items(), ramp, strict=True):
        of_method = metrics[metrics.method == method]
        ends.append((lines.draw(left, of_method, "entropy", ink, noisy=True), f"n = {n}", ink))
        by_seed = {seed: final_entropy(run) for seed, run in of_method.groupby("train_seed")}
        runs.append(pd.Series(by_seed, dtype=float))
    _against_n(right, list(methods), [of_replicates(of_n, "runs") for of_n in runs], runs, ramp, style.SOFT)
    left.set(xlabel="training step", ylabel="policy entropy, nats per token")
    left.set_title("over training")
    right.set_title("last quarter of training")
    left.margins(x=0.02)
    style.end_labels(left, ends)
    return figure


def reported_gains(inputs: Inputs, paper_model: str) -> dict[int, float]:
    """n -> the paper's average minus its base model's, in points; empty for a model that the paper does not sweep."""
    rows = inputs.reported
    rows = rows[(rows.model == paper_model) & (rows.benchmark == "average")]
    base = rows[(rows.table == "main") & (rows.method == BASE)].value
    swept = rows[rows.table == "ablation_n"]
    if base.empty or swept.empty:
        return {}
    return dict(zip(swept.method.str.extract(r"n=(\d+)")[0].astype(int), swept.value - base.iloc[0], strict=True))


def _against_n(
    panel: Axes, ns: list[int], means: list[Interval], runs: list[pd.Series], inks: list[str], mean_ink: str
) -> None:
    """Means against n; around them a thin line for each run, where the same few have every n, and intervals else."""
    panel.plot(ns, [mean.value for mean in means], color=mean_ink, zorder=2)
    few = all(of_n.index.equals(runs[0].index) for of_n in runs) and 1 < len(runs[0]) < lines.MANY
    for run in runs[0].index if few else []:
        heights = [of_n[run] for of_n in runs]
        panel.plot(ns, heights, color=style.tint(mean_ink, 0.6), lw=0.7, marker="o", ms=2.5, zorder=1.5)
    for n, mean, ink in zip(ns, means, inks, strict=True):
        error = None if few else style.errors([mean])
        panel.errorbar(n, mean.value, yerr=error, color=ink, fmt="o", ms=5.5, elinewidth=1.3, zorder=3)
    style.log_axis(panel, ns, ScalarFormatter())
    panel.set_xlim(min(ns) / 1.25, max(ns) * 1.25)
    panel.set_xlabel("candidates n, own token included")
