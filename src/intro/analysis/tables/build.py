"""Tables 1-3 of the paper and the controls, each as csv (numbers), md (to read) and tex (to include)."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from intro import experiments
from intro.analysis.data import cells
from intro.analysis.data.inputs import Inputs, SourceInputs, under
from intro.analysis.data.results import BASE, SHARED_RATE, Results, by_benchmark
from intro.analysis.stats.intervals import ENOUGH
from intro.analysis.tables.typeset import Block, Entry, Head, Sheet, bracket, entries, latex, markdown, number, write
from intro.config import Config
from intro.experiments import methods_by_n
from intro.sources import table_sources
from intro.types import IntroError

# The paper's columns in the paper's order, by the name of the benchmark that one stands for.
PAPER = {
    "math500": "MATH500", "minerva_math": "Minerva Math", "olympiadbench": "OlympiadBench",
    "college_math": "College Math", "amc23": "AMC23", "aime25": "AIME25", "livecodebench": "LiveCodeBench",
    "bigcodebench": "BigCodeBench", "gpqa": "GPQA", "humaneval": "HumanEval", "ifeval": "IFEval",
}  # fmt: skip


def table(config: Config, name: str, inputs: Inputs | None = None) -> list[Path]:
    """Write results/{scale}/tables/{name}.csv, .md and .tex. Raises IntroError when the config has no such table.

    Without `inputs` it is made from the runs that it shows, whether or not others exist.
    """
    names = experiments.table_names(config)
    if name not in names:
        raise IntroError(f"there is no table '{name}' in this config; it has {', '.join(names)}")
    frame, sheet = typeset_table(inputs or SourceInputs(config, table_sources(config, name)), name)
    texts = {"csv": frame.round(4).to_csv(index=False), "md": markdown(sheet), "tex": latex(sheet)}
    return write(config.results_dir / "tables" / name, texts)


def typeset_table(inputs: Inputs, name: str) -> tuple[pd.DataFrame, Sheet]:
    """The numbers of a table, and the table as it is printed."""
    if name == "ablation_n":
        frame = ablation_n(inputs)
        return frame, _ablation_sheet(inputs, frame)
    layout = experiments.table_layouts(inputs.config)[name]
    frame = scores_table(inputs, layout)
    return frame, _scores_sheet(inputs, layout, frame)


# ---------------------------------------------------------------- scores


def benchmarks(config: Config, suite: str) -> list[str]:
    """A suite's benchmarks in the order of the paper's columns; unknown ones keep their place at the end."""
    order = {name: place for place, name in enumerate(PAPER)}
    listed = config.evaluation.suites[suite].benchmarks
    return sorted(listed, key=lambda b: order.get(config.data.benchmarks[b].stands_for, len(order)))


def scores_table(inputs: Inputs, layout: experiments.TableLayout) -> pd.DataFrame:
    """One row per model and method: a column per benchmark, average, improvement over base, interval of the average."""
    config, columns = inputs.config, benchmarks(inputs.config, layout.suite)
    results = inputs.results.under(layout.protocol)
    rows = []
    for model in layout.models:
        base = float(np.mean(means(results, layout.suite, model, BASE, columns)))
        for method in layout.methods:
            values = means(results, layout.suite, model, method, columns)
            average = float(np.mean(values))
            row: dict[str, Any] = {"model": model, "stands_for": config.models[model].stands_for, "method": method}
            row |= dict(zip([*columns, "average"], [*values, average], strict=True))
            if _improves(layout):
                row["improvement_pct"] = 100 * (average / base - 1) if base > 0 and method != BASE else np.nan
            interval = cells.accuracy(results, model, method, layout.suite)
            rows.append(row | {"average_ci_low": interval.low, "average_ci_high": interval.high})
    return pd.DataFrame(rows)


def means(results: Results, suite: str, model: str, method: str, columns: list[str]) -> list[float]:
    """Percent correct per benchmark, over problems and training seeds; nan where nothing was run.

    An average over them is then nan, too: the rest would not be comparable.
    """
    values = results.values(suite, model, method)
    found = {} if values is None else by_benchmark(values)
    return [float(found[name].mean(axis=0).mean()) if name in found else np.nan for name in columns]


def _improves(layout: experiments.TableLayout) -> bool:
    """Tables of the main suite print the improvement over the base model; Table 2 does not."""
    return layout.suite == "main"


def method_labels(config: Config) -> dict[str, str]:
    """The printed names of the base model and of every method."""
    return {BASE: "Base", **{name: method.label for name, method in config.all_methods.items()}}


def _scores_sheet(inputs: Inputs, layout: experiments.TableLayout, frame: pd.DataFrame) -> Sheet:
    """A block per model: method, benchmarks, average with its interval, improvement; the best of a block is bold."""
    config, columns = inputs.config, benchmarks(inputs.config, layout.suite)
    improvement = [Head("Improvement")] if _improves(layout) else []
    heads = [Head("Method", latex="", words=True), *(_benchmark_head(config, name) for name in columns)]
    heads += [Head("Average"), Head("95 %", latex="95\\,\\%"), *improvement]
    labels, blocks = method_labels(config), []
    for model, rows in frame.groupby("model", sort=False):
        parts = [[Entry(labels[method]) for method in rows.method], *(entries(rows[name]) for name in columns)]
        ends = zip(rows.average_ci_low, rows.average_ci_high, strict=True)
        parts += [entries(rows.average), [Entry(bracket(*pair)) for pair in ends]]
        parts += [entries(rows.improvement_pct, "{:+.1f} %")] if improvement else []
        blocks.append(Block([list(row) for row in zip(*parts, strict=True)], str(model), rows.stands_for.iloc[0]))
    return Sheet(heads, blocks, _note(inputs, layout))


def benchmark_names(config: Config, name: str) -> tuple[str, str]:
    """The name of a benchmark and the printed one of the paper's that it stands for, empty where it is the same."""
    paper = config.data.benchmarks[name].stands_for
    return (PAPER.get(paper, paper), "") if name == paper else (name, PAPER.get(paper, paper))


def _benchmark_head(config: Config, name: str) -> Head:
    text, below = benchmark_names(config, name)
    samples = config.data.benchmarks[name].samples
    return Head(text + (f" (avg@{samples})" if samples > 1 else ""), below)


def _note(inputs: Inputs, layout: experiments.TableLayout) -> str:
    spread = _spread(inputs.results.under(layout.protocol), layout.suite, layout.models[0], layout.methods)
    tuned = layout.protocol == "tuned"
    rate = "each method at its own best learning rate on validation" if tuned else "one learning rate for all"
    gain = " Improvement is relative to the base model's average." if _improves(layout) else ""
    brackets = f"Brackets: 95 % interval of the average ({spread})."
    return f"Accuracy in percent, {rate}. {brackets}{gain} Bold: best of its block."


def _spread(results: Results, suite: str, model: str, methods: list[str]) -> str:
    """What the intervals of a table resample: problems only, or problems and training runs."""
    frames = [results.values(suite, model, method) for method in methods if method != BASE]
    seeds = max((len(frame.columns) for frame in frames if frame is not None), default=0)
    if seeds >= ENOUGH:
        return f"problems and {seeds} training runs"
    return f"problems only: {'a single training run each' if seeds < 2 else f'mean of {seeds} training runs'}"


# ---------------------------------------------------------------- n


def ablation_n(inputs: Inputs) -> pd.DataFrame:
    """Average accuracy and the entropy that training ends with, per number of candidates n."""
    model, metrics = inputs.config.ablation_n.model, under(inputs.frame("metrics"), SHARED_RATE)
    rows = []
    for n, method in methods_by_n(inputs.config).items():
        average = cells.accuracy(inputs.results, model, method)
        trained = metrics[(metrics.model == model) & (metrics.method == method)]
        rows.append((n, average.value, average.low, average.high, final_entropy(trained)))
    return pd.DataFrame(rows, columns=["n", "average", "ci_low", "ci_high", "policy_entropy"])


def _ablation_sheet(inputs: Inputs, frame: pd.DataFrame) -> Sheet:
    """One column per n, as the paper prints it."""
    config, model = inputs.config, inputs.config.ablation_n.model
    spread = _spread(inputs.results, "main", model, list(methods_by_n(config).values()))
    note = (
        f"{model} (for {config.models[model].stands_for}). n counts the rationale's own token. "
        f"Brackets: 95 % interval ({spread}). Entropy: nats per token, mean over the last quarter of training."
    )
    ends = zip(frame.ci_low, frame.ci_high, strict=True)
    rows = [
        [Entry("Average"), *entries(frame.average)],
        [Entry("95 %"), *(Entry(bracket(*pair)) for pair in ends)],
        [Entry("Policy entropy"), *(Entry(number(value, "{:.3f}")) for value in frame.policy_entropy)],
    ]
    return Sheet([Head("", words=True), *(Head(f"n = {n}", latex=f"$n = {n}$") for n in frame.n)], [Block(rows)], note)


def final_entropy(metrics: pd.DataFrame) -> float:
    """Mean entropy (nats per token) over the last quarter of training steps, over seeds."""
    late = metrics[metrics.step > 0.75 * metrics.step.max()]
    return float(late.entropy.mean())
