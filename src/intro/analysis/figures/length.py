"""Figure 3: how long responses are, on the hard problems and on all of them."""

from __future__ import annotations

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from intro.analysis.data import cells
from intro.analysis.data.inputs import Inputs
from intro.analysis.data.results import BASE
from intro.analysis.figures import style


def draw(inputs: Inputs) -> Figure:
    """A row per model: from base to the method under study along a line, the baseline beside it."""
    config, results = inputs.config, inputs.results
    shown = [BASE, *config.compared]
    models = [m for m in config.models if any(results.values("main", m, k) is not None for k in shown)]
    if not models:
        return style.nothing("No responses in this configuration.")
    figure, axes = style.blank(2, height=0.9 + 0.42 * len(models), sharey=True)
    for panel, (words, benchmarks) in zip(axes[0], {"hard": results.hard, "all": None}.items(), strict=True):
        _panel(panel, inputs, models, benchmarks)
        panel.set_title(f"{words} problems")
        panel.set_xlabel("mean response length, tokens")
    axes[0, 0].set_yticks(range(len(models)), [style.model_name(config, model) for model in models])
    axes[0, 0].set_ylim(len(models) - 0.5, -0.75)
    return figure


def _panel(panel: Axes, inputs: Inputs, models: list[str], benchmarks: list[str] | None) -> None:
    config = inputs.config
    shifts = {BASE: 0.0, config.baseline: -0.16, config.ablation_n.method: 0.16}
    for place, model in enumerate(models):
        found = {}
        for method in (BASE, *config.compared):
            mean, ink = cells.tokens(inputs.results, model, method, benchmarks), style.colour(config, method)
            if mean is cells.NOTHING:
                continue
            found[method], y = mean.value, place + shifts[method]
            style.dot(panel, mean, y, ink, size=5)
            if method != BASE and BASE in found:
                ends = [found[BASE], mean.value]
                panel.plot(ends, [place, y], color=style.tint(ink, 0.55), lw=1, zorder=1)
            if place == 0:
                _name(panel, style.label(config, method), mean.value, y, ink, below=y > place)
    panel.set_xlim(left=0)
    panel.margins(x=0.08)
    style.horizontal(panel)


def _name(panel: Axes, text: str, x: float, y: float, ink: str, below: bool) -> None:
    """Names the dots of the top row; one name goes below its dot so that equal lengths do not overprint."""
    panel.annotate(text, (x, y), (0, -5 if below else 5), textcoords="offset points", ha="center",
                   va="top" if below else "bottom", color=ink, fontsize=7.5, fontweight="bold")  # fmt: skip
