"""Figure 6: accuracy of base models with and without the answer in the prompt, rationales verified."""

from __future__ import annotations

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from intro.analysis.data import cells
from intro.analysis.data.inputs import Inputs
from intro.analysis.data.results import BASE
from intro.analysis.figures import palette, style
from intro.analysis.tables.build import benchmark_names, benchmarks

WITHOUT, GIVEN = palette.OKABE_ITO["grey"], palette.OKABE_ITO["green"]


def draw(inputs: Inputs) -> Figure:
    """Per model a panel, per benchmark a pair of dots; a response counts when it is correct and verified."""
    config = inputs.config
    models = [m for m in config.models if inputs.results.values("answer_in_prompt", m, BASE) is not None]
    if not models:
        return style.nothing("No responses with the answer in the prompt in this configuration.")
    columns = benchmarks(config, "answer_in_prompt")
    height, width = 1.0 + 0.36 * len(columns), 1.2 + 2.9 * len(models)
    figure, axes = style.blank(len(models), height=height, width=width, sharey=True)
    for panel, model in zip(axes[0], models, strict=True):
        _panel(panel, inputs, model, columns)
        panel.set_title(style.model_title(config, model), pad=style.KEY_PAD)
    axes[0, 0].set_yticks(range(len(columns)), ["\n".join(benchmark_names(config, name)).strip() for name in columns])
    axes[0, 0].set_ylim(len(columns) - 0.5, -0.5)
    return figure


def _panel(panel: Axes, inputs: Inputs, model: str, columns: list[str]) -> None:
    for place, benchmark in enumerate(columns):
        pair = []
        for suite, ink, y in (("main", WITHOUT, place - 0.07), ("answer_in_prompt", GIVEN, place + 0.07)):
            mean = cells.accuracy(inputs.results, model, BASE, suite, [benchmark], "verified_correct")
            if mean is cells.NOTHING:
                continue
            style.dot(panel, mean, y, ink)
            pair.append((mean.value, y))
        if len(pair) == 2:
            panel.plot(*zip(*pair, strict=True), color=style.FAINT, lw=5, zorder=1)
    style.key(panel, [("question only", WITHOUT), ("answer in the prompt", GIVEN)])
    panel.set(xlabel="correct and verified, %", xlim=(0, 102))
    style.horizontal(panel)
