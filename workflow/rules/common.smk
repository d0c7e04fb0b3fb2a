"""Paths, settings and helpers that all rules share. `intro.experiments` lists what there is to run."""

import re
from pathlib import Path

import yaml
from snakemake.exceptions import WorkflowError

from intro import config as intro_config
from intro import experiments, sources
from intro.infra.code_digest import code_of, module_of, training_code
from intro.infra.digests import digest
from intro.infra.files import write_text
from intro.training.run_spec import settings_of
from intro.training.selection import learning_rate
from intro.types import IntroError


def checked(mapping):
    """The validated config. An invalid key is reported in one sentence, without a traceback."""
    try:
        return intro_config.parse(intro_config.resolve(mapping, "config"), "config")
    except IntroError as error:
        raise WorkflowError(str(error))


CONFIG = checked(config)
RESULTS, PICTURES = str(CONFIG.results_dir), str(CONFIG.figures_dir)
# The config of this start after `extends` and `--config`, which its jobs read. The name holds a digest of the content: a
# start with another config, which Snakemake allows beside this one for other files, never changes what these jobs read
SETTINGS = f"{RESULTS}/config-{digest(CONFIG.model_dump_json())}.yaml"


def write_settings():
    """Write the config that jobs read. Only `onstart` may call it: then Snakemake holds its lock.

    Parsing must not write: plans, reports, jobs and starts that Snakemake refuses parse this file too.
    """
    try:
        write_text(
            Path(SETTINGS),
            yaml.safe_dump(CONFIG.model_dump(mode="json"), sort_keys=False),
        )
    except IntroError as error:
        raise WorkflowError(str(error))


def settings_file(wildcards, output):
    """The config that jobs read, as a param that re-runs nothing: Snakemake compares none that depends on the output.

    What a rule depends on is among its other params.
    """
    return SETTINGS


RUN = f"{RESULTS}/runs/{{model}}/{{method}}/{{protocol}}/seed{{seed}}"


def any_of(names):
    """A wildcard constraint that matches these names; with no names it matches nothing."""
    return "|".join(name.replace("+", "[+]") for name in names) or "(?!)"


def model_of(cells):
    """A constraint on the wildcard `model` that matches these cells only, by a look-ahead at their folders."""
    return "|".join(
        f"{re.escape(c.model)}(?=/{re.escape(c.method)}/{c.protocol}/seed{c.seed}/)"
        for c in cells
    )


# These need a network, which compute nodes often lack
localrules:
    make_data,
    fetch_model,
    fetch_verifier,


wildcard_constraints:
    scale=CONFIG.scale,
    model=any_of(CONFIG.models),
    method=any_of(["base", *CONFIG.all_methods]),
    protocol="base|paper|tuned",
    seed="[0-9]+",
    suite=any_of(CONFIG.evaluation.suites),


def settings(*names):
    """The parts of the config that a rule depends on, for its params."""
    return {
        name: CONFIG.model_dump(mode="json", include={name})[name] for name in names
    }


def run_settings(wildcards):
    """The settings that every training run of a model and method depends on."""
    return settings_of(CONFIG, wildcards.model, wildcards.method)


def sweep_settings(wildcards):
    """The settings of a run, with the grid's learning rates and seed."""
    training = CONFIG.training
    grid = {"grid": training.learning_rates, "grid_seed": training.train_seeds[0]}
    return run_settings(wildcards) | grid


def run_code(wildcards):
    """Digest of the code that decides a run: of the objectives, its own method's. The base model is only evaluated."""
    entry = CONFIG.all_methods.get(wildcards.method)
    return training_code(entry) if entry else code_of("train")


def cost_code():
    """Digest of the code that measures updates, with the objectives of the methods that it measures."""
    names = sorted({"sft", *CONFIG.cost.methods})
    return code_of("cost", *(module_of(CONFIG.methods[name]) for name in names))


def cost_settings():
    """The settings that the cost of an update depends on; of methods, the measured ones."""
    cost = CONFIG.cost
    return {
        "cost": cost.model_dump(mode="json"),
        "methods": {name: CONFIG.methods[name].settings() for name in cost.methods},
        "hardware": CONFIG.models[cost.model].hardware.model_dump(
            mode="json", exclude_defaults=True
        ),
        "prompts": [CONFIG.prompts["question"], CONFIG.prompts["posterior"]],
        "resamples": CONFIG.evaluation.resamples,
    }


def suite_settings(name):
    """The settings that the generations of one suite depend on."""
    suite = CONFIG.evaluation.suites[name]
    evaluation = CONFIG.evaluation.model_dump(
        mode="json", exclude={"suites", "resamples", "hard"}
    )
    return {
        "suite": [suite.benchmarks, suite.prompt],
        "evaluation": evaluation,
        "prompt": CONFIG.prompts[suite.prompt],
        "benchmarks": {
            name: CONFIG.data.benchmarks[name].model_dump(
                mode="json", exclude={"stands_for", "problems"}
            )
            for name in suite.benchmarks
        },
    }


def grading_settings():
    """How model-written programs are run. The tiny world has no programs."""
    return CONFIG.data.model_dump(
        mode="json", include={"unsandboxed", "bigcodebench_python"}
    )


def run_files(name, cells):
    return [str(cell.folder(CONFIG) / name) for cell in cells]


def suite_files(name, evaluations):
    return [
        str(experiments.suite_file(CONFIG, cell, suite, name))
        for cell, suite in evaluations
    ]


def strings(paths):
    """Paths as rules take them."""
    return [str(path) for path in paths]


def learning_rates_file(wildcards):
    return checkpoints.select_learning_rates.get().output.learning_rates


def chosen_rate(wildcards):
    """The learning rate of a run; None before it is selected."""
    if not Path(RESULTS, "learning_rates.json").exists():
        return None
    return learning_rate(CONFIG, wildcards.method, wildcards.protocol)


def cell_of(w):
    return experiments.Cell(w.model, w.method, w.protocol, int(w.seed))


def weights(wildcards):
    """The folder of the model that is evaluated: the base model, or the final model of a run."""
    return str(cell_of(wildcards).weights_folder(CONFIG))


def base_model(wildcards):
    """The base model that a run starts from."""
    return str(cell_of(wildcards).base_folder(CONFIG))


def suite_problems(*suites):
    names = {b: b for s in suites for b in CONFIG.evaluation.suites[s].benchmarks}
    return expand(f"{RESULTS}/problems/{{name}}.jsonl", name=names)


def gpus(wildcards):
    """Number of GPUs of a training run. Snakemake counts them; the command reserves free ones itself."""
    return CONFIG.models[wildcards.model].hardware.gpus


def one_gpu(wildcards):
    """Generation takes one GPU where the model trains on any."""
    return min(1, gpus(wildcards))


def processes(wildcards):
    """On CPUs, as many threads as processes; GPUs leave the cores to data and grading."""
    return CONFIG.models[wildcards.model].hardware.processes


def serving_settings(wildcards):
    """The hardware settings that generation depends on."""
    names = {"dtype", "engine", "cuda_graphs"}
    return CONFIG.models[wildcards.model].hardware.model_dump(
        mode="json", exclude_defaults=True, include=names
    )


def judge_command():
    """The command of the judge, whose engine may be installed in another environment."""
    python = CONFIG.verifier and CONFIG.verifier.python
    return f"{python} -m intro.cli" if python else "intro"


def table_files(name):
    return [f"{RESULTS}/tables/{name}.{ending}" for ending in ("csv", "md", "tex")]


TRAINED = experiments.training_runs(CONFIG)
GRID = [
    str(experiments.grid_file(CONFIG, *pair)) for pair in experiments.sweeps(CONFIG)
]
VALIDATED = [
    str(experiments.grid_file(CONFIG, *pair))
    for pair in experiments.sweeps_and_bases(CONFIG)
]
PROBLEMS = experiments.problem_sets(CONFIG)
FETCHED = experiments.fetched_models(CONFIG)
