"""All work of a config, each piece at the first table or figure that needs it."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterator
from dataclasses import dataclass, field
from functools import partial

from intro import experiments
from intro.cost.estimate.work import Cost, Estimator

Work = tuple[str, Hashable, Callable[[], Cost]]  # target, key, and the function that estimates it


@dataclass(frozen=True, slots=True)
class Target:
    """A table or figure, and the cost of the work that no target before it has already done."""

    name: str
    cost: Cost
    work: tuple[Hashable, ...] = field(repr=False, default=())


def targets(estimator: Estimator) -> list[Target]:
    """Tables and figures in the order of making them; work that several need counts at the first of them."""
    found: dict[str, Target] = {}
    done: set[Hashable] = set()
    for name, key, cost in work_by_target(estimator):
        if key not in done:
            done.add(key)
            before = found.get(name, Target(name, Cost()))
            found[name] = Target(name, before.cost + cost(), (*before.work, key))
    return list(found.values())


def work_by_target(estimator: Estimator) -> Iterator[Work]:
    """Every target with all work that it needs: the experiment list of the config, and the checks beside it."""
    config = estimator.config

    def needs(name: str, evaluations: list[tuple[experiments.Cell, str]]) -> Iterator[Work]:
        runs = [cell for cell, _ in evaluations if cell.method != "base"]
        if runs and not config.training.keep_states:
            yield name, "states", estimator.states_at_once
        for cell in runs:
            yield name, ("train", cell), partial(estimator.run, cell)
        for cell, suite in evaluations:
            yield name, ("evaluate", cell, suite), partial(estimator.evaluate, cell.model, suite)

    for model, seed in experiments.base_models(config):
        yield "table_main_base", ("base", model, seed), partial(estimator.base_model, model)
    yield from needs("table_main_base", experiments.base_check_evaluations(config))
    for model, method in experiments.sweeps_and_bases(config):
        for rate in [None] if method == "base" else config.training.learning_rates:
            yield "learning_rate", ("sweep", model, method, rate), partial(estimator.sweep, model, method)
    for table in experiments.table_names(config):
        yield from needs(f"table_{table}", experiments.table_evaluations(config, table))
    judged = experiments.judged_evaluations(config)
    given = [(cell, suite) for cell, suite in experiments.evaluations(config) if suite == "given"]
    yield from needs("answer_conditioning", judged or given)
    if config.verifier is not None:
        yield "answer_conditioning", "judge", estimator.judge_model
    for cell, suite in judged:
        yield "answer_conditioning", ("judge", cell, suite), partial(estimator.judge, suite)
    for model in config.posterior.models:
        yield "posterior", ("posterior", model), partial(estimator.posterior_check, model)
    yield "cost", "cost", estimator.update_check
    yield from needs("others", experiments.evaluations(config))
    for cell in experiments.training_runs(config):
        yield "others", ("train", cell), partial(estimator.run, cell)


def total(targets: list[Target]) -> Cost:
    return sum((target.cost for target in targets), Cost())
