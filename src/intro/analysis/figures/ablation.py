"""The number of candidates n: accuracy (Table 3 as a picture) and policy entropy (the appendix)."""

from __future__ import annotations

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FixedLocator, NullLocator, ScalarFormatter

from intro.analysis import estimates, style
from intro.analysis.figures import lines
from intro.analysis.frames import BASE
from intro.analysis.inputs import Inputs, under
from intro.analysis.tables import ablation_n, final_entropy
from intro.plan import methods_by_n


def draw_average(inputs: Inputs) -> Figure:
    """Average against n; the paper's own curve as gain over its base model, drawn on ours."""
    config, frame = inputs.config, ablation_n(inputs).dropna(subset=["average"])
    if frame.empty:
        return style.nothing("No ablation over n in this configuration.")
    model, ink = config.ablation_n.model, style.colour(config, config.ablation_n.method)
    figure, axes = style.blank(height=2.8, width=4.6)
    panel = axes[0, 0]
    base = estimates.accuracy(inputs.results, model, BASE)
    ends = [(frame.average.iloc[-1], "this run", ink)]
    if pd.notna(base.value):
        panel.axhline(base.value, color=style.colour(config, BASE), lw=1.1)
        panel.axhspan(base.low, base.high, color=style.colour(config, BASE), alpha=0.12, lw=0)
        ends.append((base.value, "base", style.SOFT))
        gains = reported_gains(inputs, style.stands_for(config, model))
        shape = [(n, base.value + gains[n]) for n in frame.n if n in gains]
        if len(shape) > 1:
            panel.plot(
                *zip(*shape, strict=True),
                color=style.INK,
                lw=1,
                ls=(0, (3, 2)),
                marker="o",
                ms=3,
                mfc="white",
            )
            ends.append((shape[-1][1], "paper's gain", style.INK))
    _errors(panel, frame, ink)
    _axis(panel, list(frame.n))
    panel.set_ylabel("average accuracy, %")
    panel.set_title(f"{model}, for {style.stands_for(config, model)}")
    style.end_labels(panel, ends)
    return figure


def draw_entropy(inputs: Inputs) -> Figure:
    """Left: entropy over training, light to dark with n. Right: where it ends."""
    config = inputs.config
    metrics = under(inputs.metrics, "paper")
    metrics = metrics[metrics.model == config.ablation_n.model].dropna(subset=["entropy"])
    methods = {n: m for n, m in methods_by_n(config).items() if m in set(metrics.method)}
    if not methods:
        return style.nothing("No policy entropy over n in this configuration.")
    figure, (row,) = style.blank(2, height=2.7, gridspec_kw={"width_ratios": [3, 2]}, sharey=True)
    ends, last = [], []
    for (n, method), ink in zip(methods.items(), style.ramp(len(methods)), strict=True):
        own = metrics[metrics.method == method]
        end = lines.draw(row[0], own, "entropy", ink, window=5 if own.step.nunique() > 12 else 1)
        if end is not None:
            ends.append((end, f"n = {n}", ink))
        runs = estimates.over_runs(pd.Series([final_entropy(run) for _, run in own.groupby("train_seed")]))
        last.append((n, runs, ink))
    row[1].plot(
        [n for n, _, _ in last],
        [r.value for _, r, _ in last],
        color=style.tint(style.SOFT, 0.5),
        lw=1,
        zorder=1,
    )
    for n, run, ink in last:
        row[1].errorbar(n, run.value, yerr=estimates.errors([run]), fmt="o", ms=6, color=ink)
    _axis(row[1], [n for n, _, _ in last])
    row[0].set(xlabel="training step", ylabel="policy entropy, nats per token")
    row[0].set_title("over training")
    row[1].set_title("last quarter of training")
    row[0].margins(x=0.02)
    style.end_labels(row[0], ends)
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


def _errors(panel: Axes, frame: pd.DataFrame, ink: str) -> None:
    error = [(frame.average - frame.ci_low).clip(lower=0), (frame.ci_high - frame.average).clip(lower=0)]
    panel.errorbar(frame.n, frame.average, yerr=error, color=ink, marker="o", ms=5.5, elinewidth=1.3)


def _axis(panel: Axes, ns: list[int]) -> None:
    panel.set_xscale("log")
    panel.xaxis.set_major_locator(FixedLocator(ns))
    panel.xaxis.set_minor_locator(NullLocator())
    panel.xaxis.set_major_formatter(ScalarFormatter())
    panel.set_xlim(min(ns) / 1.25, max(ns) * 1.25)
    panel.set_xlabel("candidates n, own token included")
