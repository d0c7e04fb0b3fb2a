"""One training run, resolved from the config. Nothing here imports torch: the workflow reads it while planning."""

from __future__ import annotations

from dataclasses import asdict, dataclass, fields, is_dataclass
from typing import TYPE_CHECKING, Any

from pydantic import BaseModel

from intro.config import Config, Hardware, Training
from intro.experiments import Cell, check_model, method_of
from intro.infra.code_digest import training_code
from intro.infra.digests import digest
from intro.objectives import Objective, Posterior
from intro.training.schedule import steps_of

if TYPE_CHECKING:
    from intro.rollout.sampling import Sampling

# keys of `training` that decide which runs there are, or what is written on the way
NO_OUTCOME = {
    *("learning_rates", "sweep_models", "protocols", "train_seeds", "tensorboard", "checkpoint_every", "keep_states")
}
# what a run reads from files, and what differs between the runs of one model and method
OUTSIDE_SETTINGS = ("base", "data", "learning_rate", "seed")


@dataclass(frozen=True, slots=True)
class Curves:
    """How the subsets of curves.csv are answered."""

    benchmarks: dict[str, list[str]]  # subset -> names; the subset "train" has training problems
    temperature: float
    top_p: float
    max_response_tokens: int


@dataclass(frozen=True)
class RunSpec:
    """Every value that decides the outcome of one training run, apart from the code."""

    model: str
    base: str  # digest of the base model's weights
    method: Objective | None  # with its options; None: the base model, which is measured and not trained
    learning_rate: float | None
    seed: int
    steps: int
    training: Training
    curves: Curves
    batch: int  # rows that the rollout engine decodes at once
    hardware: Hardware  # rounding and random numbers depend on it
    prompts: dict[str, str]  # templates by name
    data: dict[str, Any]  # what the problems depend on
    world_seed: int

    @classmethod
    def of(cls, config: Config, cell: Cell, learning_rate: float | None, base: str) -> RunSpec:
        """The run of this cell. Raises IntroError for a model or method that the config does not have.

        base: digest of the weights that the run starts from.
        """
        check_model(config, cell.model)
        method = None if cell.method == "base" else method_of(config, cell.method)
        training, evaluation = config.training, config.evaluation
        templates = {"question", posterior_of(method).prompt}
        return cls(
            model=cell.model,
            base=base,
            method=method,
            learning_rate=learning_rate,
            seed=cell.seed,
            steps=steps_of(config.data.train_problems, training.prompts_per_step, training.epochs),
            training=training,
            curves=Curves(
                curve_benchmarks(config), evaluation.temperature, evaluation.top_p, evaluation.max_response_tokens
            ),
            batch=evaluation.batch,
            hardware=config.models[cell.model].hardware,
            prompts={name: text for name, text in config.prompts.items() if name in templates},
            data=config.problem_settings,
            world_seed=config.seed,
        )

    @property
    def posterior(self) -> Posterior:
        """The estimated posterior that is learned from, or else only measured."""
        return posterior_of(self.method)

    @property
    def sampling(self) -> Sampling:
        """Of the curves; rollouts are sampled at temperature 1."""
        from intro.rollout.sampling import Sampling

        return Sampling(self.curves.max_response_tokens, self.curves.temperature, self.curves.top_p)

    def settings(self) -> dict[str, Any]:
        """All fields as JSON, for the run's record. The default hardware is left out."""
        found = {field.name: _as_json(getattr(self, field.name)) for field in fields(self)}
        return {name: value for name, value in found.items() if name != "hardware" or self.hardware != Hardware()}

    def key(self) -> str:
        """The name of the scratch folder: runs of equal settings and code share it."""
        return digest(self.settings() | {"code": training_code(self.method)})


def settings_of(config: Config, model: str, method: str) -> dict[str, Any]:
    """The settings that all runs of a model and method share, as JSON; `method` may be "base".

    For the params of rules: learning rate and seed are beside it, base weights and problems are input files.
    """
    spec = RunSpec.of(config, Cell(model, method, "paper", 0), None, base="")
    return {name: value for name, value in spec.settings().items() if name not in OUTSIDE_SETTINGS}


def posterior_of(method: Objective | None) -> Posterior:
    """The estimated posterior of a method; for one without, the policy's own, which is measured all the same."""
    learned = None if method is None else method.posterior_source
    return learned or Posterior(network="live", decay=1.0, prompt="posterior", answer="gold")


def curve_benchmarks(config: Config) -> dict[str, list[str]]:
    """Benchmarks of suite main behind each subset of the curves: the hard ones, and all."""
    main = config.evaluation.suites["main"].benchmarks
    hard = [name for name in main if config.data.benchmarks[name].stands_for in config.evaluation.hard]
    return {"hard": hard, "all": list(main)}


def _as_json(value: Any) -> Any:
    if isinstance(value, Objective):
        return value.settings()
    if isinstance(value, BaseModel):
        return value.model_dump(mode="json", exclude=NO_OUTCOME)
    return asdict(value) if is_dataclass(value) else value
