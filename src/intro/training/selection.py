"""The learning rates of both protocols, selected on validation problems before any test problem is answered."""

from __future__ import annotations

import json
from collections import defaultdict
from statistics import fmean

from intro.config import Config
from intro.experiments import grid_file, sweeps
from intro.infra.files import write_json
from intro.infra.provenance import Provenance
from intro.tasks.jsonl import GRID_KEYS, read_jsonl
from intro.training.schedule import steps_of
from intro.types import IntroError


def choose(values: dict[tuple[str, str, float], float]) -> tuple[float, dict[str, float]]:
    """The shared rate and the rate of each method, from validation accuracies by (model, method, rate).

    Ties go to the smaller rate.

    The shared rate has the highest mean over all methods together, so it favours none.
    """
    by_rate: dict[float, list[float]] = defaultdict(list)
    by_method: dict[str, dict[float, list[float]]] = defaultdict(lambda: defaultdict(list))
    for (_, method, lr), value in values.items():
        by_rate[lr].append(value)
        by_method[method][lr].append(value)

    def best(rates: dict[float, list[float]]) -> float:
        return min(rates, key=lambda lr: (-fmean(rates[lr]), lr))

    return best(by_rate), {method: best(rates) for method, rates in by_method.items()}


def select(config: Config) -> None:
    """Write learning_rates.json from the grid's validation grades, or with the only rate of a config without a grid."""
    watch = Provenance()
    grades: dict[tuple[str, str, float], list[int]] = defaultdict(list)
    files = {f"{model}/{method}": grid_file(config, model, method) for model, method in sweeps(config)}
    for file in files.values():
        for line in read_jsonl(file, GRID_KEYS, "run `intro sweep` for it again"):
            grades[line["model"], line["method"], line["lr"]].append(line["correct"])
    training = config.training
    if grades:
        shared, own = choose({key: 100 * fmean(v) for key, v in grades.items()})
    else:  # the config gives one rate and sweeps no model
        shared, own = training.learning_rates[0], {}
    steps = steps_of(config.data.train_problems, training.prompts_per_step, training.epochs)
    record = watch.record(settings=training.model_dump(), seed=None, inputs=files)
    path = config.results_dir / "learning_rates.json"
    write_json(path, {"paper": {"learning_rate": shared, "steps": steps}, "tuned": own, "record": record})


def learning_rate(config: Config, method: str, protocol: str) -> float:
    """The selected rate. Methods outside the grid (ablation of n, controls) have the shared one only.

    Raises IntroError where nothing was selected for this method and protocol, or the file is missing or damaged.
    """
    path = config.results_dir / "learning_rates.json"
    if not path.is_file():
        raise IntroError(f"{path}: no such file; `intro select` makes it from the learning-rate grid")
    try:
        chosen = json.loads(path.read_text())
        shared, own = chosen["paper"]["learning_rate"], chosen["tuned"]
    except (ValueError, KeyError, TypeError):
        raise IntroError(f"{path}: damaged; delete it and run `intro select` again") from None
    if protocol == "paper":
        return shared
    if protocol == "tuned" and method in own:
        return own[method]
    raise IntroError(f"protocol '{protocol}' has no learning rate for method '{method}'; expected paper or tuned")
