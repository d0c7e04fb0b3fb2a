"""All work of a config, each piece at the first table or figure that needs it."""

from __future__ import annotations

from collections.abc import Callable, Hashable
from dataclasses import dataclass, field

from intro import experiments
from intro.config import Config
from intro.cost.estimate.memory import width_of
from intro.cost.estimate.work import Cost, Planner


@dataclass(frozen=True, slots=True)
class Target:
    """A table or figure, and the cost of what no target before it has already made."""

    name: str
    cost: Cost
    items: tuple[Hashable, ...] = field(repr=False, default=())


def prices(planner: Planner) -> dict[Hashable, Callable[[], Cost]]:
    """Every piece of work by its key, as something to call for its cost."""
    config = planner.config
    pieces: dict[Hashable, Callable[[], Cost]] = {}
    for model, seed in experiments.base_models(config):
        pieces["base", model, seed] = lambda m=model: planner.base(m)
    for model, method in experiments.sweeps(config):
        for rate in config.training.learning_rates:
            pieces["sweep", model, method, rate] = lambda m=model, n=method: planner.sweep(m, n)
    if config.training.sweep_models:
        for model in config.training.sweep_models:
            pieces["sweep", model, "base", None] = lambda m=model: planner.sweep_answers(m)
    for cell in experiments.training_runs(config):
        pieces["train", cell] = lambda c=cell: planner.cell(c)
    if not config.training.keep_states:
        pieces["states"] = planner.states_at_once
    for cell, suite in experiments.evaluations(config):
        pieces["evaluate", cell, suite] = lambda c=cell, s=suite: planner.evaluate(c.model, s)
    for cell, suite in experiments.judged_evaluations(config):
        pieces["judge", cell, suite] = lambda s=suite: planner.judge(s)
    if planner.judge_shape is not None:
        weights = width_of(config.verifier.hardware) * planner.judge_shape.parameters
        pieces["judge"] = lambda: Cost(disk_bytes=weights)
    for model in config.posterior.models:
        pieces["posterior", model] = lambda m=model: planner.posterior_check(m)
    if config.cost:
        pieces["cost"] = planner.update_check
    return pieces


def targets(planner: Planner) -> list[Target]:
    """Tables and figures in the order of making them; a piece of work counts where it is first needed."""
    pieces, done, found = prices(planner), set(), []
    for name, needs in wanted(planner.config, list(pieces)).items():
        new = tuple(key for key in dict.fromkeys(needs) if key in pieces and key not in done)
        done |= set(new)
        spent = Cost()
        for key in new:
            spent += pieces[key]()
        found.append(Target(name, spent, new))
    return [target for target in found if target.items]


def wanted(config: Config, keys: list[Hashable]) -> dict[str, list[Hashable]]:
    """Target to the keys of all work behind it, shared or not."""
    runs = {key[1]: key for key in keys if isinstance(key, tuple) and key[0] == "train"}
    answers = {key[1:]: key for key in keys if isinstance(key, tuple) and key[0] == "evaluate"}
    grid = [key for key in keys if isinstance(key, tuple) and key[0] == "sweep"]

    def cells(suite: str, take: Callable[[experiments.Cell], bool]) -> list[Hashable]:
        """The grid first, which decides the rates; then training and answers of the cells that a table shows."""
        shown = [(cell, key) for (cell, name), key in answers.items() if name == suite and take(cell)]
        trained = [runs[cell] for cell, _ in shown if cell in runs]
        return [*([*grid, "states"] if trained else []), *trained, *(key for _, key in shown)]

    swept = config.ablation_n
    family = {name for name in config.all_methods if name.startswith(f"{swept.method}-n")} | {swept.method}
    family -= set(config.controls.methods)
    judged = [key for key in keys if key == "judge" or (isinstance(key, tuple) and key[0] == "judge")]
    fig_6 = [("evaluate", *pair) for pair in experiments.judged_evaluations(config)] or cells("given", lambda c: True)
    rest = {
        "table_main_base": [
            *(("base", *base) for base in experiments.base_models(config)),
            *(("evaluate", *pair) for pair in experiments.base_check_evaluations(config)),
        ],
        "learning_rate": grid,
        "table_main": cells("main", lambda c: c.method in config.methods and c.protocol == "paper"),
        "table_main_tuned": cells("main", lambda c: c.method in config.methods and c.protocol == "tuned"),
        "table_ood": cells("ood", lambda c: True),
        "table_ablation_n": cells("main", lambda c: c.method in family and c.model == swept.model),
        "table_controls": cells("main", lambda c: c.method in config.controls.methods),
        "answer_conditioning": [*fig_6, *judged],
        "posterior": [("posterior", model) for model in config.posterior.models],
        "cost": ["cost"],
    }
    return rest | {"others": keys}


def total(targets: list[Target]) -> Cost:
    result = Cost()
    for target in targets:
        result += target.cost
    return result
