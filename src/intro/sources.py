"""The result files that each table and figure is made from: its rule requires these and its command reads no others."""

from __future__ import annotations

from collections.abc import Callable, Collection
from dataclasses import dataclass, field, replace
from pathlib import Path

from intro import experiments
from intro.config import Config
from intro.experiments import Cell, grid_file, methods_by_n, suite_file, sweeps_and_bases
from intro.types import IntroError


@dataclass(frozen=True, slots=True)
class Sources:
    """What one table or figure is made from. It can be made when these files exist."""

    evaluations: list[tuple[Cell, str]] = field(default_factory=list)  # their grades.jsonl
    judged: list[tuple[Cell, str]] = field(default_factory=list)  # those of them whose judged.jsonl counts
    curves: list[Cell] = field(default_factory=list)  # runs: their curves.csv
    metrics: list[Cell] = field(default_factory=list)  # runs: their metrics.csv
    sweeps: list[tuple[str, str]] = field(default_factory=list)  # (model, method): grades on validation problems
    results: list[str] = field(default_factory=list)  # files below results/{scale} that hold a whole measurement

    def files(self, config: Config) -> list[Path]:
        """Every file that these are: the inputs of the rule."""
        return [
            *(suite_file(config, cell, suite, "grades.jsonl") for cell, suite in self.evaluations),
            *(suite_file(config, cell, suite, "judged.jsonl") for cell, suite in self.judged),
            *(cell.folder(config) / "curves.csv" for cell in self.curves),
            *(cell.folder(config) / "metrics.csv" for cell in self.metrics),
            *(grid_file(config, model, method) for model, method in self.sweeps),
            *(config.results_dir / name for name in self.results),
        ]


def table_sources(config: Config, table: str) -> Sources:
    """The evaluations of the cells that a table shows; Table 3 shows the policy entropy of its runs as well."""
    shown = experiments.table_evaluations(config, table)
    return Sources(shown, metrics=[cell for cell, _ in shown if cell.method != "base"] if table == "ablation_n" else [])


FIGURE_5 = ("Qwen2.5-7B", "Qwen3-4B")  # the models that the paper's Fig. 5 shows


def _main(config: Config, models: Collection[str], methods: Collection[str]) -> Sources:
    """Main-suite evaluations of these cells under the shared learning rate."""
    return Sources(experiments.shown(config, experiments.TableLayout("main", "paper", models, methods)))


def _runs(config: Config, models: Collection[str], methods: Collection[str]) -> list[Cell]:
    """Training runs of these cells under the shared learning rate."""
    shared = [cell for cell in experiments.training_runs(config) if cell.protocol == "paper"]
    return [cell for cell in shared if cell.model in models and cell.method in methods]


def figure_5_models(config: Config) -> list[str]:
    """The models that stand for the paper's two of Fig. 5; the config's first two where none does."""
    return [m for m, spec in config.models.items() if spec.stands_for in FIGURE_5] or list(config.models)[:2]


FIGURES: dict[str, Callable[[Config], Sources]] = {
    "overview": lambda config: replace(_main(config, config.models, ["base", *config.methods]), results=["claims.csv"]),
    "length": lambda config: _main(config, config.models, ["base", *config.compared]),
    "training_length": lambda config: Sources(curves=_runs(config, config.models, config.compared)),
    "training_accuracy": lambda config: Sources(curves=_runs(config, figure_5_models(config), config.compared)),
    "answer_conditioning": lambda config: Sources(
        experiments.answer_conditioning_evaluations(config), judged=experiments.judged_evaluations(config)
    ),
    "entropy_n": lambda config: Sources(
        metrics=_runs(config, [config.ablation_n.model], methods_by_n(config).values())
    ),
    "ablation_n": lambda config: _main(config, [config.ablation_n.model], ["base", *methods_by_n(config).values()]),
    "posterior": lambda config: Sources(results=["posterior.csv"]),
    "cost": lambda config: Sources(results=["cost.csv"]),
    "learning_rate": lambda config: Sources(sweeps=sweeps_and_bases(config), results=["learning_rates.json"]),
    "dynamics": lambda config: Sources(metrics=_runs(config, [config.ablation_n.model], config.compared)),
}


def figure_sources(config: Config, figure: str) -> Sources:
    """What a figure shows. Raises IntroError when there is none of that name."""
    if figure not in FIGURES:
        raise IntroError(f"there is no figure '{figure}'; known are {', '.join(FIGURES)}")
    return FIGURES[figure](config)
