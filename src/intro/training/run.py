"""The commands `intro train` and `intro sweep`: read files, train, write files."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from tqdm import tqdm

from intro.config import Config, Hardware
from intro.experiments import Cell, grid_file, method_of, problems_file, sweep_base_folder
from intro.infra.digests import weights_digest
from intro.infra.files import atomic_folder, to_csv, write_text
from intro.infra.provenance import Provenance
from intro.model.kernels import launch as kernels
from intro.model.load import load_model, save_model
from intro.model.tokenizer import ModelTokenizer
from intro.tasks.jsonl import GRID_KEYS, read_problems, write_jsonl
from intro.tasks.registry import load_source
from intro.training.checkpoint import Scratch
from intro.training.distributed import Ranks, device_of, join
from intro.training.loop import Trainer, engine_of
from intro.training.measure import Measured, measure
from intro.training.metrics import CURVES, METRICS
from intro.training.run_spec import RunSpec
from intro.training.samples import Prompter
from intro.training.selection import learning_rate
from intro.types import IntroError, Problem

Report = Callable[[dict[str, Any]], None]


@dataclass(frozen=True)
class RunInputs:
    """The files that a run reads: base model, training problems and the problems of its curves."""

    base: Path
    prompter: Prompter
    problems: list[Problem]
    subsets: dict[str, list[Problem]]

    @classmethod
    def read(cls, config: Config, base: Path, spec: RunSpec) -> RunInputs:
        """Raises IntroError for missing or damaged files. base: the folder of the base model."""
        file = problems_file(config, "train")
        source = load_source(config.data, config.prompts, config.seed)
        prompter = Prompter(ModelTokenizer.from_folder(base), config.prompts, source)
        problems = read_problems(file)
        if len(problems) != (expected := config.data.train_problems):
            raise IntroError(f"{file}: expected {expected} problems, found {len(problems)}; run `intro data` again")
        size = spec.training.curve_problems

        def some(benchmarks: list[str]) -> list[Problem]:
            share = -(-size // len(benchmarks))
            return [p for name in benchmarks for p in read_problems(problems_file(config, name))[:share]][:size]

        subsets = {subset: some(names) for subset, names in spec.curves.benchmarks.items()}
        return cls(base, prompter, problems, subsets | {"train": problems[:size]})


def train(spec: RunSpec, inputs: RunInputs, scratch: Scratch, name: str, report: Report = lambda row: None) -> Trainer:
    """A finished run. It starts from the state in `scratch` if there is one, complete or not.

    `name` labels the progress bar; `report` receives every new row of metrics.csv.
    """
    policy, base = (load_model(inputs.base, spec.hardware.dtype, device_of(spec.hardware)) for _ in range(2))
    trainer = Trainer(spec, policy, base, inputs.prompter, inputs.problems, inputs.subsets)
    label, hidden = f"{spec.model} {name} lr={spec.learning_rate:g}", not scratch.ranks.first
    with scratch.lock(), tqdm(total=spec.steps, desc=label, unit="step", mininterval=1.0, disable=hidden) as bar:
        if state := scratch.load():
            trainer.restore(state, scratch.folder)
            bar.update(trainer.done)

        def show(row: dict[str, Any]) -> None:
            bar.set_postfix({name: f"{row[name]:.3g}" for name in ("accuracy", "mean_tokens")}, refresh=False)
            bar.update()
            report(row)

        trainer.train(scratch, show)
    return trainer


def train_cell(config: Config, cell: Cell) -> None:
    """One training run: final/ (a Hugging Face folder), metrics.csv, curves.csv, record.json."""
    watch = Provenance()
    method_of(config, cell.method)  # an unknown method is reported before any file is read
    ranks, base = _prepare(config.models[cell.model].hardware), cell.base_folder(config)
    spec = RunSpec.of(config, cell, learning_rate(config, cell.method, cell.protocol), weights_digest(base))
    inputs = RunInputs.read(config, base, spec)
    folder, scratch = cell.folder(config), Scratch(config.results_dir, spec.key(), ranks)
    reports = [_tensorboard(folder)] if spec.training.tensorboard and ranks.first else []
    trainer = train(spec, inputs, scratch, cell.method, *reports)
    if not ranks.first:
        return
    names = {"model": cell.model, "method": cell.method, "protocol": cell.protocol, "train_seed": cell.seed}
    with atomic_folder(folder / "final") as final:
        save_model(trainer.networks.policy, final, tokenizer_from=inputs.base)
    write_text(folder / "metrics.csv", to_csv(METRICS, (names | row for row in trainer.rows)))
    curves = (names | {"lr": spec.learning_rate} | row for row in trainer.curves)
    write_text(folder / "curves.csv", to_csv(CURVES, curves))
    files = {"base": inputs.base, "problems": problems_file(config, "train")}
    seconds = sum(v for row in trainer.rows for k, v in row.items() if k.startswith("seconds_"))
    record = {"settings": spec.settings(), "seed": cell.seed, "steps": spec.steps, "training_seconds": seconds}
    watch.write(folder / "record.json", inputs=files, **record)
    if not config.training.keep_states:
        scratch.clear()


def sweep(config: Config, model: str, method: str) -> None:
    """Train at every rate of the grid and answer the validation problems with each final model.

    The base model has no rate: it answers once, and its lines hold `lr: null`.
    """
    watch = Provenance()
    ranks, base = _prepare(config.models[model].hardware), sweep_base_folder(config, model)
    cell = Cell(model, method, "paper", config.training.train_seeds[0])
    spec = RunSpec.of(config, cell, None, weights_digest(base))
    inputs = RunInputs.read(config, base, spec)
    problems = read_problems(problems_file(config, "validation"))
    lines = []
    for lr in [None] if method == "base" else config.training.learning_rates:
        got = _validate(config, replace(spec, learning_rate=lr), inputs, method, problems)
        for problem, correct, response in zip(problems, got.correct, got.rationales, strict=True):
            identity = (model, method, lr, spec.seed, problem.benchmark, problem.id)
            values = (*identity, int(correct), len(response.tokens))
            lines.append(dict(zip(GRID_KEYS, values, strict=True)))
    if not ranks.first:
        return
    file = grid_file(config, model, method)
    write_jsonl(file, lines)
    settings = spec.settings() | {"learning_rate": config.training.learning_rates}
    watch.write(file.with_suffix(".record.json"), settings=settings, seed=spec.seed, inputs={"base": inputs.base})


def _prepare(hardware: Hardware) -> Ranks:
    """Choose the kernels and join the other ranks; a wrong number of them is reported before any file is read."""
    kernels.select(hardware.kernels)
    return join(hardware)


def _validate(config: Config, spec: RunSpec, inputs: RunInputs, method: str, problems: list[Problem]) -> Measured:
    """Responses to the validation problems of the run's final policy, or of the base model where nothing is trained."""
    prompter, ranks = inputs.prompter, join(spec.hardware)
    if spec.method is None:
        engine = engine_of(spec, inputs.base, prompter.tokenizer)
        return measure(problems, prompter, engine, spec.sampling, spec.seed, ranks)
    trainer = train(spec, inputs, Scratch(config.results_dir, spec.key(), ranks), method)
    measured = measure(problems, prompter, trainer.engine, spec.sampling, spec.seed, ranks)
    trainer.backend.close()
    return measured


def _tensorboard(folder: Path) -> Report:
    """Writes every number of a row of metrics.csv as a scalar."""
    try:
        from torch.utils.tensorboard import SummaryWriter
    except ImportError:
        raise IntroError("training.tensorboard: tensorboard is not installed; pip install tensorboard") from None
    writer = SummaryWriter(folder / "tensorboard")

    def report(row: dict[str, Any]) -> None:
        for name in row.keys() - {"step"}:
            if row[name] is not None:
                writer.add_scalar(name, row[name], row["step"])
        writer.flush()

    return report
