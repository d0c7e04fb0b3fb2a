"""What a config asks for: its runs and evaluations, and where each one's files are. The DAG and the code share it."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from intro.config import AnyMethod, Checkpoint, Config
from intro.types import IntroError


@dataclass(frozen=True, slots=True)
class Cell:
    """One model under one method: a column of scores. Method and protocol "base" are a model before any training; its
    `seed` is the one it was pretrained with."""

    model: str
    method: str
    protocol: str
    seed: int

    def folder(self, config: Config) -> Path:
        return config.results_dir / "runs" / self.model / self.method / self.protocol / f"seed{self.seed}"

    def pretraining_seed(self, config: Config) -> int:
        """Of the base model that this cell is or starts from."""
        return self.seed if self.method == "base" else starting_seed(config, self.model, self.seed)

    def base(self, config: Config) -> Path:
        """The folder of the base model that this cell is or starts from."""
        return base_folder(config, self.model, self.pretraining_seed(config))

    def weights(self, config: Config) -> Path:
        return self.base(config) if self.method == "base" else self.folder(config) / "final"


def pretraining_seeds(config: Config, model: str) -> list[int]:
    """One for each base model of this name; of a published checkpoint there is one."""
    return [0] if isinstance(config.models[model], Checkpoint) else config.pretraining.seeds


def starting_seed(config: Config, model: str, train_seed: int) -> int:
    """The pretraining seed of the base model that a training run starts from: runs take them in turn."""
    seeds = pretraining_seeds(config, model)
    return seeds[train_seed % len(seeds)]


def base_folder(config: Config, model: str, seed: int | None = None) -> Path:
    """A base model; of several pretraining seeds the first where none is named."""
    folder = config.results_dir / "models" / model
    if isinstance(config.models[model], Checkpoint):
        return folder
    return folder / f"seed{config.pretraining.seeds[0] if seed is None else seed}"


def suite_file(config: Config, cell: Cell, suite: str, name: str) -> Path:
    """`name` is generations.jsonl, grades.jsonl, score.json or, where a judge read them, judged.jsonl."""
    return cell.folder(config) / suite / name


def problems_file(config: Config, name: str) -> Path:
    """JSONL of a benchmark, "train" or "validation"."""
    return config.results_dir / "problems" / f"{name}.jsonl"


def judge_folder(config: Config) -> Path:
    """The judge model of `verifier`."""
    return config.results_dir / "verifier"


def grid_file(config: Config, model: str, method: str) -> Path:
    return config.results_dir / "grid" / model / f"{method}.jsonl"


def method_of(config: Config, name: str) -> AnyMethod:
    """The method's config entry. Raises IntroError for a name that the config does not have."""
    if name not in config.all_methods:
        raise IntroError(f"method: unknown '{name}'; this config has {', '.join(config.all_methods)}")
    return config.all_methods[name]


def check_model(config: Config, name: str) -> None:
    if name not in config.models:
        raise IntroError(f"model: unknown '{name}'; this config has {', '.join(config.models)}")


def check_evaluation(config: Config, cell: Cell, suite: str) -> None:
    """Raises IntroError for a model, method or suite that this config does not have."""
    check_model(config, cell.model)
    if cell.method != "base":
        method_of(config, cell.method)
    if suite not in config.evaluation.suites:
        raise IntroError(f"suite: unknown '{suite}'; this config has {', '.join(config.evaluation.suites)}")


def published(config: Config) -> list[str]:
    """Models that are fetched; the others are pretrained here."""
    return [name for name, model in config.models.items() if isinstance(model, Checkpoint)]


def splits(config: Config) -> list[str]:
    """Every file of problems: benchmarks, training and validation problems, and a corpus to pretrain on."""
    corpus = ["corpus"] if config.pretraining else []
    return [*config.data.benchmarks, "train", "validation", *corpus]


def bases(config: Config) -> list[tuple[str, int]]:
    """Every base model and its pretraining seed."""
    return [(model, seed) for model in config.models for seed in pretraining_seeds(config, model)]


def trained(config: Config) -> list[Cell]:
    """Every training run: the table's methods on all models, the n-grid and the controls on theirs."""
    table = [(model, method) for model in config.models for method in config.methods]
    swept = [m for m in config.all_methods if m.startswith(f"{config.ablation_n.method}-n") and m not in config.methods]
    extra = [(config.ablation_n.model, m) for m in swept if m not in config.controls.methods]
    extra += [(config.controls.model, m) for m in config.controls.methods]
    training = config.training
    cells = [
        Cell(*pair, protocol, s) for protocol in training.protocols for pair in table for s in training.train_seeds
    ]
    # the ablations vary one thing under the shared protocol
    return cells + [Cell(*pair, "paper", s) for pair in extra for s in training.train_seeds]


def evaluations(config: Config) -> list[tuple[Cell, str]]:
    """Every (cell, suite) to generate: a suite without lists of models or methods wants all."""
    cells = [Cell(model, "base", "base", seed) for model, seed in bases(config)] + trained(config)
    return [
        (cell, name)
        for name, suite in config.evaluation.suites.items()
        for cell in cells
        if (suite.models is None or cell.model in suite.models)
        and (suite.methods is None or cell.method in suite.methods)
    ]


def bundles(config: Config) -> dict[tuple[str, ...], list[Cell]]:
    """Suites that one process answers and one grades -> the checkpoints that it does this for; every evaluation once.

    On CPUs a process takes longer to start than to answer a suite: all that a checkpoint is asked shares one. On GPUs a
    suite takes hours: it has a job of its own, beside others, and asking for one table never pays for another's.
    """
    asked: dict[Cell, list[str]] = {}
    for cell, suite in evaluations(config):
        asked.setdefault(cell, []).append(suite)
    found: dict[tuple[str, ...], list[Cell]] = {}
    for cell, suites in asked.items():
        alone = config.models[cell.model].hardware.gpus > 0
        for bundle in [(suite,) for suite in suites] if alone else [tuple(suites)]:
            found.setdefault(bundle, []).append(cell)
    return found


def judged(config: Config) -> list[tuple[Cell, str]]:
    """The evaluations behind Fig. 6, whose rationales the judge model reads where the config has one."""
    given = config.evaluation.suites.get("given")
    if config.verifier is None or given is None:
        return []
    return [
        (cell, suite)
        for cell, suite in evaluations(config)
        if suite in ("main", "given") and cell.method == "base" and cell.model in (given.models or config.models)
    ]


def gate(config: Config) -> list[tuple[Cell, str]]:
    """Base models on Table 1's benchmarks: what should agree with the paper before anyone pays for training."""
    return [(cell, suite) for cell, suite in evaluations(config) if suite == "main" and cell.method == "base"]


def swept_base(config: Config, model: str) -> Path:
    """The base model that the learning rates are swept from: the one of the first training seed."""
    return base_folder(config, model, starting_seed(config, model, config.training.train_seeds[0]))


def sweeps(config: Config) -> list[tuple[str, str]]:
    """(model, method) pairs that are trained at every rate of the grid and judged on validation problems."""
    return [(model, method) for model in config.training.sweep_models for method in config.methods]


def validated(config: Config) -> list[tuple[str, str]]:
    """The sweeps and, to judge them against, the base models: every file of validation grades."""
    return [*((model, "base") for model in config.training.sweep_models), *sweeps(config)]


FIGURES = [
    "overview",
    "length",
    "training_length",
    "training_accuracy",
    "answer_conditioning",
    "entropy_n",
    "ablation_n",
    "posterior",
    "cost",
    "learning_rate",
    "dynamics",
]


@dataclass(frozen=True, slots=True)
class Layout:
    """Which cells a table shows."""

    suite: str
    protocol: str
    models: list[str]
    methods: list[str]

    def shows(self, cell: Cell, suite: str) -> bool:
        """Base models belong to every protocol."""
        named = cell.model in self.models and cell.method in self.methods
        return suite == self.suite and named and cell.protocol in (self.protocol, "base")


def methods_by_n(config: Config) -> dict[int, str]:
    """n of the ablation -> the name of its method; the table method's own n keeps its plain name."""
    name = config.ablation_n.method
    own = getattr(config.methods[name], "n", None)
    return {n: name if n == own else f"{name}-n{n}" for n in sorted(config.ablation_n.grid)}


def layouts(config: Config) -> dict[str, Layout]:
    """Tables 1 to 3; Table 1 under tuned rates, Table 2 and the controls where the config asks for them."""
    found = {}
    for suite in ("main", "ood"):
        spec = config.evaluation.suites.get(suite)
        if spec is None:
            continue
        models, methods = spec.models or list(config.models), spec.methods or ["base", *config.methods]
        found[suite] = Layout(suite, "paper", models, methods)
        if suite == "main" and "tuned" in config.training.protocols:
            found["main_tuned"] = Layout(suite, "tuned", models, methods)
    if config.controls.methods:
        controls = ["base", "grpo", config.ablation_n.method, *config.controls.methods]
        known = [m for m in controls if m == "base" or m in config.all_methods]
        found["controls"] = Layout("main", "paper", [config.controls.model], known)
    found["ablation_n"] = Layout("main", "paper", [config.ablation_n.model], list(methods_by_n(config).values()))
    return found


def tables(config: Config) -> list[str]:
    """Names of the tables that this config makes."""
    return list(layouts(config))


def behind(config: Config, table: str) -> list[tuple[Cell, str]]:
    """The evaluations that a table rests on: asking for it makes these and no others."""
    layout = layouts(config)[table]
    return [(cell, suite) for cell, suite in evaluations(config) if layout.shows(cell, suite)]
