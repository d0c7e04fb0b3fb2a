"""What the commands `pretrain`, `train`, `sweep` and `select` do: read files, train, write whole files."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from torch import nn
from tqdm import tqdm

from intro.config import Config, Hardware
from intro.experiments import Cell, base_folder, check_model, grid_file, method_of, problems_file, sweep_base_folder
from intro.infra.code_digest import training_code
from intro.infra.digests import digest, weights_digest
from intro.infra.files import atomic_folder, to_csv, write_json, write_text
from intro.infra.provenance import Provenance
from intro.model.kernels import launch as kernels
from intro.model.load import load_model, save_model
from intro.model.tokenizer import ModelTokenizer
from intro.pretraining import train as pretraining
from intro.rollout.api import open_engine
from intro.rollout.base import RolloutEngine
from intro.rollout.sampling import Sampling
from intro.tasks.jsonl import GRID_KEYS, read_jsonl, read_problems, write_jsonl
from intro.tasks.registry import load_source
from intro.training.checkpoint import Scratch
from intro.training.distributed import Ranks, device_of, join
from intro.training.loop import Run, Trainer
from intro.training.measure import measure
from intro.training.metrics import CURVES, METRICS
from intro.training.samples import Prompter
from intro.training.selection import learning_rate
from intro.types import Problem

# what a run does not depend on: leaving these out lets equal runs share their scratch folder
NOT_THE_RUN = {
    *("learning_rates", "sweep_models", "protocols", "train_seeds", "tensorboard", "checkpoint_every", "keep_states")
}
CONTEXT = 512  # positions of the tiny models


def pretrain_base(config: Config, name: str, seed: int) -> None:
    """Train one base model on the corpus and save it below models/; `seed` decides initialisation and order."""
    watch = Provenance()
    check_model(config, name)
    source = load_source(config.data, config.prompts, config.seed)
    tokenizer = source.build_tokenizer()
    file = problems_file(config, "corpus")
    documents = [(r["prompt"], r["response"]) for r in read_jsonl(file, ("prompt", "response"), "run `intro data`")]
    rows = pretraining.encode_corpus(documents, tokenizer)
    steps = config.models[name].steps or config.pretraining.steps
    settings = config.pretraining.model_copy(update={"steps": steps})
    model = pretraining.build_model(config.models[name], tokenizer, CONTEXT, seed)
    with _progress(name, settings.steps) as bar:
        losses = pretraining.pretrain(model, rows, settings, seed, lambda step, loss: _tick(bar, step, loss=loss))
    with atomic_folder(base_folder(config, name, seed)) as folder:
        pretraining.save_base(model, tokenizer, source.tokenizer_settings(), folder)
        curve = [{"step": i + 1, "loss": loss} for i, loss in enumerate(losses)]
        write_text(folder / "pretraining.csv", to_csv(["step", "loss"], curve))
        record = watch.record(
            settings={
                "model": config.models[name].model_dump(),
                "pretraining": settings.model_dump(exclude={"seeds"}),
            },
            seed=seed,
            inputs={"corpus": file},
            parameters=sum(p.numel() for p in model.parameters()),
        )
        write_json(folder / "record.json", record)


@dataclass(frozen=True)
class RunContext:
    """What all runs from one base model share."""

    config: Config
    model: str
    base: Path
    prompter: Prompter
    train: list[Problem]
    subsets: dict[str, list[Problem]]

    @classmethod
    def open(cls, config: Config, model: str, base: Path) -> RunContext:
        check_model(config, model)
        kernels.select(config.models[model].hardware.kernels)
        join(config.models[model].hardware)  # wrong numbers of processes or devices are said before anything is read
        source = load_source(config.data, config.prompts, config.seed)
        prompter = Prompter(ModelTokenizer.from_folder(base), config.prompts, source)
        train = read_problems(problems_file(config, "train"))
        return cls(config, model, base, prompter, train, curve_subsets(config, train))

    @property
    def sampling(self) -> Sampling:
        evaluation = self.config.evaluation
        return Sampling(evaluation.max_response_tokens, evaluation.temperature, evaluation.top_p)

    def base_engine(self) -> RolloutEngine:
        """The untrained model, ready to answer."""
        hardware, batch = self.hardware, self.config.evaluation.batch
        device = device_of(hardware)
        return open_engine(
            hardware.engine,
            self.base,
            self.prompter.tokenizer,
            batch,
            hardware.dtype,
            device,
            cuda_graphs=hardware.cuda_graphs,
        )

    @property
    def hardware(self) -> Hardware:
        return self.config.models[self.model].hardware

    @property
    def ranks(self) -> Ranks:
        return join(self.hardware)

    def _load(self) -> nn.Module:
        return load_model(self.base, self.hardware.dtype, device_of(self.hardware))

    def settings(self, method: str, lr: float | None, seed: int) -> dict[str, Any]:
        """Everything that decides the run, for its record and for the name of its scratch folder."""
        config = self.config
        # rounding and random numbers depend on it
        hardware = {} if self.hardware == Hardware() else {"hardware": self.hardware.model_dump()}
        return hardware | {
            "model": self.model,
            "base": weights_digest(self.base),
            "method": "base" if method == "base" else method_of(config, method).settings(),
            "learning_rate": lr,
            "seed": seed,
            "training": config.training.model_dump(exclude=NOT_THE_RUN),
            "evaluation": config.evaluation.model_dump(include={"temperature", "top_p", "max_response_tokens", "hard"}),
            "prompts": config.training_prompts,
            "data": config.problem_settings,
            "stands_for": {name: benchmark.stands_for for name, benchmark in config.data.benchmarks.items()},
            "world_seed": config.seed,
        }

    def scratch(self, method: str, lr: float, seed: int) -> Scratch:
        """Where a run keeps its resumable state."""
        code = training_code(method_of(self.config, method))
        key = digest({**self.settings(method, lr, seed), "code": code})
        return Scratch(self.config.results_dir, key, self.ranks)

    def train_one(self, method: str, lr: float, seed: int, tick: Callable[[Trainer], None] | None = None) -> Trainer:
        """A finished run: resumed from its scratch folder when there is one, complete or not."""
        objective = method_of(self.config, method)
        training = self.config.training
        run = Run.of(
            objective, training, lr, seed, len(self.train), sampling=self.sampling, batch=self.config.evaluation.batch
        )
        trainer = Trainer(run, self._load(), self._load(), self.prompter, self.train, self.subsets, self.hardware)
        scratch = self.scratch(method, lr, seed)
        name = f"{self.model} {method} lr={lr:g}"
        with scratch.lock(), _progress(name, run.steps, self.ranks.first) as bar:
            if state := scratch.load():
                trainer.restore(state, scratch.folder)
                bar.update(trainer.done)

            def report(row: dict[str, Any]) -> None:
                _tick(bar, row["step"], accuracy=row["accuracy"], tokens=row["mean_tokens"])
                if tick:
                    tick(trainer)

            trainer.train(scratch, report)
        return trainer


def curve_subsets(config: Config, train: list[Problem]) -> dict[str, list[Problem]]:
    """Fixed problems of equal share per benchmark: hard, all (of suite main), and training ones."""
    benchmarks = config.data.benchmarks
    main = config.evaluation.suites["main"].benchmarks
    hard = [b for b in main if benchmarks[b].stands_for in config.evaluation.hard]
    size = config.training.curve_problems

    def some(names: list[str]) -> list[Problem]:
        share = -(-size // len(names))
        return [p for b in names for p in read_problems(problems_file(config, b))[:share]][:size]

    return {"hard": some(hard), "all": some(main), "train": train[:size]}


def train_cell(config: Config, cell: Cell) -> None:
    """One training run: final/ (a Hugging Face folder), metrics.csv, curves.csv, record.json."""
    watch = Provenance()
    method_of(config, cell.method)  # a wrong name is said before anything is read
    bench = RunContext.open(config, cell.model, cell.base_folder(config))
    lr = learning_rate(config, cell.method, cell.protocol)
    writer = _tensorboard(cell.folder(config)) if config.training.tensorboard and bench.ranks.first else None
    trainer = bench.train_one(cell.method, lr, cell.seed, writer)
    if not bench.ranks.first:
        return
    folder = cell.folder(config)
    names = {"model": cell.model, "method": cell.method, "protocol": cell.protocol, "train_seed": cell.seed}
    with atomic_folder(folder / "final") as final:
        save_model(trainer.networks.policy, final, tokenizer_from=bench.base)
    write_text(folder / "metrics.csv", to_csv(METRICS, (names | row for row in trainer.rows)))
    write_text(folder / "curves.csv", to_csv(CURVES, (names | {"lr": lr} | row for row in trainer.curves)))
    record = watch.record(
        settings=bench.settings(cell.method, lr, cell.seed),
        seed=cell.seed,
        inputs={"base": bench.base, "problems": problems_file(config, "train")},
        steps=trainer.run.steps,
        training_seconds=sum(v for row in trainer.rows for k, v in row.items() if k.startswith("seconds_")),
    )
    write_json(folder / "record.json", record)
    if not config.training.keep_states:
        bench.scratch(cell.method, lr, cell.seed).clear()


def sweep(config: Config, model: str, method: str) -> None:
    """Train at every rate of the grid and answer the validation problems with each final model.

    The base model has no rate: it answers once, and its lines hold `lr: null`.
    """
    watch = Provenance()
    bench = RunContext.open(config, model, sweep_base_folder(config, model))
    problems = read_problems(problems_file(config, "validation"))
    prompts = [bench.prompter.question(p) for p in problems]
    seed, lines = config.training.train_seeds[0], []
    for lr in [None] if method == "base" else config.training.learning_rates:
        trainer = None if lr is None else bench.train_one(method, lr, seed)
        engine = bench.base_engine() if trainer is None else trainer.engine
        graded = measure(problems, prompts, bench.prompter, engine, bench.sampling, seed, bench.ranks).graded
        if trainer is not None:
            trainer.backend.close()
        for problem, g in zip(problems, graded, strict=True):
            values = (
                model,
                method,
                lr,
                seed,
                problem.benchmark,
                problem.id,
                int(g.grade.correct),
                len(g.rollout.tokens),
            )
            lines.append(dict(zip(GRID_KEYS, values, strict=True)))
    if not bench.ranks.first:
        return
    file = grid_file(config, model, method)
    write_jsonl(file, lines)
    settings = bench.settings(method, None, seed) | {"learning_rate": config.training.learning_rates}
    record = watch.record(settings=settings, seed=seed, inputs={"base": bench.base})
    write_json(file.with_suffix(".record.json"), record)


# ---------------------------------------------------------------- progress


def _progress(name: str, total: int, shown: bool = True) -> tqdm:
    # a log file gets a line now and then, a terminal a live bar; both show speed and remaining time
    return tqdm(total=total, desc=name, unit="step", mininterval=1.0, dynamic_ncols=True, disable=not shown)


def _tick(bar: tqdm, step: int, **numbers: float) -> None:
    bar.set_postfix({k: f"{v:.3g}" for k, v in numbers.items()}, refresh=False)
    bar.update(step - bar.n)


def _tensorboard(folder: Path) -> Callable[[Trainer], None]:
    try:
        from torch.utils.tensorboard import SummaryWriter
    except ImportError:
        from intro.types import IntroError

        raise IntroError(
            "training.tensorboard is on but tensorboard is not installed; pip install tensorboard"
        ) from None
    writer = SummaryWriter(folder / "tensorboard")

    def report(trainer: Trainer) -> None:
        for name, value in trainer.rows[-1].items():
            if isinstance(value, int | float) and name != "step":
                writer.add_scalar(name, value, trainer.rows[-1]["step"])
        writer.flush()

    return report
