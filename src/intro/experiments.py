"""The training runs and evaluations that a config asks for, and where their files lie. The workflow reads them here."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path

from intro.config import AnyMethod, Checkpoint, Config
from intro.types import IntroError


@dataclass(frozen=True, slots=True)
class Cell:
    """One policy that is evaluated: a model trained with one method, learning-rate protocol and seed.

    Method and protocol "base" stand for the base model itself; `seed` is then its pretraining seed.
    """

    model: str
    method: str
    protocol: str
    seed: int

    def folder(self, config: Config) -> Path:
        """The folder of the run: metrics, the final model, and one folder per suite."""
        return config.results_dir / "runs" / self.model / self.method / self.protocol / f"seed{self.seed}"

    def pretraining_seed(self, config: Config) -> int:
        """The pretraining seed of the base model that this cell is or starts from."""
        return self.seed if self.method == "base" else starting_seed(config, self.model, self.seed)

    def base_folder(self, config: Config) -> Path:
        """The folder of the base model that this cell is or starts from."""
        return base_folder(config, self.model, self.pretraining_seed(config))

    def weights_folder(self, config: Config) -> Path:
        """The folder of the model that is evaluated: the base model, or the final one of the run."""
        return self.base_folder(config) if self.method == "base" else self.folder(config) / "final"


def pretraining_seeds(config: Config, model: str) -> list[int]:
    """The seeds of the base models of this name. A published checkpoint is one base model, with seed 0."""
    return [0] if isinstance(config.models[model], Checkpoint) else config.pretraining.seeds


def starting_seed(config: Config, model: str, train_seed: int) -> int:
    """The pretraining seed of the base model that a training run starts from: train_seed modulo their number."""
    seeds = pretraining_seeds(config, model)
    return seeds[train_seed % len(seeds)]


def base_folder(config: Config, model: str, seed: int | None = None) -> Path:
    """The folder of a base model. seed: a pretraining seed; None is the first."""
    folder = config.results_dir / "models" / model
    if isinstance(config.models[model], Checkpoint):
        return folder
    return folder / f"seed{config.pretraining.seeds[0] if seed is None else seed}"


def suite_file(config: Config, cell: Cell, suite: str, name: str) -> Path:
    """A file of an evaluation. name: generations.jsonl, grades.jsonl, score.json, or judged.jsonl of the judge."""
    return cell.folder(config) / suite / name


def problems_file(config: Config, name: str) -> Path:
    """The JSONL of a problem set: the name of a benchmark, "train", "validation" or "corpus"."""
    return config.results_dir / "problems" / f"{name}.jsonl"


def judge_folder(config: Config) -> Path:
    """The folder of the judge model that `verifier` names."""
    return config.results_dir / "verifier"


def grid_file(config: Config, model: str, method: str) -> Path:
    """Grades on validation problems at every learning rate of the grid; method "base" has the base model's grades."""
    return config.results_dir / "grid" / model / f"{method}.jsonl"


def method_of(config: Config, name: str) -> AnyMethod:
    """The config entry of a method. Raises IntroError for a name that the config does not have."""
    _check("method", name, config.all_methods)
    return config.all_methods[name]


def check_model(config: Config, name: str) -> None:
    """Raises IntroError for a model that this config does not have."""
    _check("model", name, config.models)


def check_evaluation(config: Config, cell: Cell, suite: str) -> None:
    """Raises IntroError for a model, method or suite that this config does not have."""
    check_model(config, cell.model)
    if cell.method != "base":
        method_of(config, cell.method)
    _check("suite", suite, config.evaluation.suites)


def _check(what: str, name: str, known: Collection[str]) -> None:
    if name not in known:
        raise IntroError(f"{what}: unknown '{name}'; this config has {', '.join(known)}")


def fetched_models(config: Config) -> list[str]:
    """Names of the models that are published checkpoints; the others are pretrained here."""
    return [name for name, model in config.models.items() if isinstance(model, Checkpoint)]


def problem_sets(config: Config) -> list[str]:
    """Names of all problem sets: benchmarks, training and validation problems, and a corpus where one is needed."""
    corpus = ["corpus"] if config.pretraining else []
    return [*config.data.benchmarks, "train", "validation", *corpus]


def base_models(config: Config) -> list[tuple[str, int]]:
    """(model, pretraining seed) of every base model."""
    return [(model, seed) for model in config.models for seed in pretraining_seeds(config, model)]


def training_runs(config: Config) -> list[Cell]:
    """Every training run: the methods of the tables on all models, the ablation of n and the controls on one each."""
    table = [(model, method) for model in config.models for method in config.methods]
    swept = [m for m in config.all_methods if m.startswith(f"{config.ablation_n.method}-n") and m not in config.methods]
    extra = [(config.ablation_n.model, m) for m in swept if m not in config.controls.methods]
    extra += [(config.controls.model, m) for m in config.controls.methods]
    training = config.training
    cells = [
        Cell(*pair, protocol, s) for protocol in training.protocols for pair in table for s in training.train_seeds
    ]
    # ablation and controls vary one option under the shared learning rate
    return cells + [Cell(*pair, "paper", s) for pair in extra for s in training.train_seeds]


def evaluations(config: Config) -> list[tuple[Cell, str]]:
    """Every (cell, suite). A suite without a list of models or methods takes all of them."""
    cells = [Cell(model, "base", "base", seed) for model, seed in base_models(config)] + training_runs(config)
    return [
        (cell, name)
        for name, suite in config.evaluation.suites.items()
        for cell in cells
        if (suite.models is None or cell.model in suite.models)
        and (suite.methods is None or cell.method in suite.methods)
    ]


def evaluation_jobs(config: Config) -> dict[tuple[str, ...], list[Cell]]:
    """Suites that share a process -> the cells that are evaluated on exactly these; every evaluation occurs once.

    On CPUs starting a process takes longer than a suite, so all suites of a cell share one. On GPUs a suite takes
    hours: each is a job of its own, and a table never waits for the suites of another.
    """
    suites_of: dict[Cell, list[str]] = {}
    for cell, suite in evaluations(config):
        suites_of.setdefault(cell, []).append(suite)
    jobs: dict[tuple[str, ...], list[Cell]] = {}
    for cell, suites in suites_of.items():
        on_gpus = config.models[cell.model].hardware.gpus > 0
        for shared in [(suite,) for suite in suites] if on_gpus else [tuple(suites)]:
            jobs.setdefault(shared, []).append(cell)
    return jobs


def answer_conditioning_evaluations(config: Config) -> list[tuple[Cell, str]]:
    """The evaluations of Fig. 6: base models with and without the answer in the prompt, if the config has both."""
    given = config.evaluation.suites.get("answer_in_prompt")
    if given is None:
        return []
    models = config.models if given.models is None else given.models
    bases = [(cell, suite) for cell, suite in evaluations(config) if cell.method == "base" and cell.model in models]
    return [(cell, suite) for cell, suite in bases if suite in ("main", "answer_in_prompt")]


def judged_evaluations(config: Config) -> list[tuple[Cell, str]]:
    """The evaluations of Fig. 6, whose rationales the judge model reads; none where the config has no judge."""
    return answer_conditioning_evaluations(config) if config.verifier else []


def base_check_evaluations(config: Config) -> list[tuple[Cell, str]]:
    """Base models on the benchmarks of Table 1, which should agree with the paper before anything is trained."""
    return [(cell, suite) for cell, suite in evaluations(config) if suite == "main" and cell.method == "base"]


def sweep_base_folder(config: Config, model: str) -> Path:
    """The base model that runs of the learning-rate grid start from: that of the first training seed."""
    return base_folder(config, model, starting_seed(config, model, config.training.train_seeds[0]))


def sweeps(config: Config) -> list[tuple[str, str]]:
    """(model, method) pairs that are trained at every learning rate and graded on the validation problems."""
    return [(model, method) for model in config.training.sweep_models for method in config.methods]


def sweeps_and_bases(config: Config) -> list[tuple[str, str]]:
    """(model, method) of every file of grades on validation problems: the base models and the sweeps."""
    return [*((model, "base") for model in config.training.sweep_models), *sweeps(config)]


@dataclass(frozen=True, slots=True)
class TableLayout:
    """Which cells a table shows: those of one suite under one learning-rate protocol."""

    suite: str
    protocol: str
    models: Collection[str]
    methods: Collection[str]

    def shows(self, cell: Cell, suite: str) -> bool:
        """Whether the table has scores of this evaluation. Base models belong to every protocol."""
        named = cell.model in self.models and cell.method in self.methods
        return suite == self.suite and named and cell.protocol in (self.protocol, "base")


def methods_by_n(config: Config) -> dict[int, str]:
    """n of the ablation -> the name of its method. At the n of the tables' method that is its plain name."""
    name = config.ablation_n.method
    default = getattr(config.methods[name], "n", None)
    return {n: name if n == default else f"{name}-n{n}" for n in sorted(config.ablation_n.grid)}


def table_layouts(config: Config) -> dict[str, TableLayout]:
    """Table name -> its layout. Table 1 at tuned rates, Table 2 and the controls only where the config has them."""
    layouts = {}
    for suite in ("main", "ood"):
        spec = config.evaluation.suites.get(suite)
        if spec is None:
            continue
        models, methods = spec.models or list(config.models), spec.methods or ["base", *config.methods]
        layouts[suite] = TableLayout(suite, "paper", models, methods)
        if suite == "main" and "tuned" in config.training.protocols:
            layouts["main_tuned"] = TableLayout(suite, "tuned", models, methods)
    if config.controls.methods:
        controls = ["base", *config.compared, *config.controls.methods]
        layouts["controls"] = TableLayout("main", "paper", [config.controls.model], controls)
    layouts["ablation_n"] = TableLayout("main", "paper", [config.ablation_n.model], list(methods_by_n(config).values()))
    return layouts


def table_names(config: Config) -> list[str]:
    """Names of the tables of this config."""
    return list(table_layouts(config))


def table_evaluations(config: Config, table: str) -> list[tuple[Cell, str]]:
    """The evaluations that a table shows. The workflow makes these and no others for it."""
    return shown(config, table_layouts(config)[table])


def shown(config: Config, layout: TableLayout) -> list[tuple[Cell, str]]:
    """The evaluations that belong to a layout."""
    return [(cell, suite) for cell, suite in evaluations(config) if layout.shows(cell, suite)]
