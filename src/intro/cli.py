"""`intro`: one subcommand per rule of the workflow. Thin, and lazy: a command imports only what it needs."""

from __future__ import annotations

import inspect
import os
import sys
from collections.abc import Callable
from dataclasses import fields
from functools import partial, wraps
from pathlib import Path
from typing import Annotated, Any

import typer
from typer.core import TyperGroup

from intro import __version__
from intro.cost.estimate.assumptions import Accelerator, Assumptions
from intro.types import IntroError, sentence_of

READ = "Read results, check a machine, estimate a cost"
WRITE = "Publish results, write files of the repository"
RULE = "Steps of the workflow: Snakemake's rules call them"


class Commands(TyperGroup):
    """Lists the commands of `--help` by their panel. Typer does so only with rich, which is slow to import."""

    def format_commands(self, ctx: typer.Context, formatter: Any) -> None:
        """One section for each panel, in the order of READ, WRITE, RULE; commands in the order of this file."""
        width = formatter.width - 6 - max(map(len, self.commands))
        for panel in (READ, WRITE, RULE):
            named = {name: c for name, c in self.commands.items() if getattr(c, "rich_help_panel", None) == panel}
            with formatter.section(panel):
                formatter.write_dl([(name, command.get_short_help_str(width)) for name, command in named.items()])


app = typer.Typer(
    cls=Commands,
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,  # rich takes longer to import than the help to print
    context_settings={"help_option_names": ["-h", "--help"]},
)
# read by `_command`: the functions below get the config itself
ConfigOption = Annotated[Path, typer.Option("--config", "-c", help="Read this config file.")]
ModelOption = Annotated[str, typer.Option("--model", help="Take this model of the config.")]
MethodOption = Annotated[str, typer.Option("--method", help="Take this method of the config, or the word base.")]
ProtocolOption = Annotated[
    str,
    typer.Option("--protocol", help="Choose the learning rate: paper (one shared rate), tuned (the method's best)."),
]
SeedOption = Annotated[int, typer.Option("--seed", help="Take this training seed; for a base model, pretraining seed.")]
SuiteOption = Annotated[str, typer.Option("--suite", help="Take this suite of benchmarks of the config.")]
SuitesOption = Annotated[list[str], typer.Option("--suite", help="Take this suite of the config. May be repeated.")]
ThreadsOption = Annotated[int, typer.Option("--threads", min=1, help="Compute with this many CPU threads.")]
DEFAULT = Path("config/tiny.yaml")


def _load(path: Path):
    from intro.config import load

    return load(path)


def _threads(count: int) -> None:
    import torch

    torch.set_num_threads(count)
    _keep_memory()


def _keep_memory() -> None:
    """Tell glibc to keep freed memory: handing every large tensor back to the kernel costs a tenth of a run."""
    import ctypes

    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)  # glibc only
    if mallopt is not None:
        trim_threshold, top_pad, mmap_threshold = -1, -2, -3
        mallopt(trim_threshold, 1 << 30)
        mallopt(top_pad, 64 << 20)
        mallopt(mmap_threshold, 32 << 20)  # the most that glibc takes


def _command(panel: str, name: str | None = None) -> Callable[[Callable[..., None]], Callable[..., None]]:
    """Register a command in a panel of the help. It gets the config that it read, and starts with its threads set."""

    def register(command: Callable[..., None]) -> Callable[..., None]:
        @wraps(command)
        def run(config: Path, **options: Any) -> None:
            loaded = _load(config)
            if "threads" in options:
                _threads(options["threads"])
            command(config=loaded, **options)

        return app.command(name, rich_help_panel=panel)(run)

    return register


def _recorded(config, make: Callable[[], list[Path]], record: Path | None = None) -> None:
    """Make files of a derived result and write their provenance: to `record`, or beside the first of them."""
    from intro.infra.provenance import Provenance

    watch = Provenance()
    files = make()
    path, names = record or files[0].with_suffix(".record.json"), [str(file) for file in files]
    watch.write(path, settings=config.model_dump(mode="json"), seed=config.seed, files=names)


def _hardware(config, model: str):
    from intro.experiments import check_model

    check_model(config, model)
    return config.models[model].hardware


def _cell(model: str, method: str, protocol: str, seed: int):
    from intro.experiments import Cell

    return Cell(model, method, protocol, seed)


def _version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"intro {__version__}")
        raise typer.Exit()


@app.callback()
def options(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the version and exit.")
    ] = False,
    debug: Annotated[
        bool, typer.Option("--debug", help="Show the traceback of an error instead of one sentence.")
    ] = False,
) -> None:
    """Reproduce InTRO: data, training, evaluation, tables, figures and the comparison with the paper."""


@_command(RULE)
def data(config: ConfigOption = DEFAULT) -> None:
    """Write the problems of every benchmark and split, and a corpus."""
    from intro.tasks.prepare import prepare

    prepare(config)


@_command(RULE)
def pretrain(
    model: ModelOption, config: ConfigOption = DEFAULT, seed: SeedOption = 0, threads: ThreadsOption = 1
) -> None:
    """Train a tiny base model and save it as a Hugging Face folder."""
    from intro.pretraining.run import pretrain_base

    pretrain_base(config, model, seed)


@_command(RULE)
def fetch(
    model: Annotated[str | None, typer.Option("--model", help="Fetch this model of the config.")] = None,
    verifier: Annotated[bool, typer.Option("--verifier", help="Fetch the judge model instead.")] = False,
    config: ConfigOption = DEFAULT,
) -> None:
    """Fetch a published model. It comes from INTRO_MODELS_DIR, a folder or the Hub."""
    from intro.model.fetch import fetch_judge, fetch_model

    if verifier == (model is not None):
        raise IntroError("intro fetch: expected either --model NAME or --verifier; see `intro fetch --help`")
    fetch_judge(config) if verifier else fetch_model(config, model)


@_command(RULE)
def sweep(model: ModelOption, method: MethodOption, config: ConfigOption = DEFAULT, threads: ThreadsOption = 1) -> None:
    """Train a method at every learning rate of the grid. Rates are compared on validation problems."""
    from intro.training.launch import launch
    from intro.training.run import sweep

    launch(config, model, lambda: sweep(config, model, method))


@_command(RULE)
def select(config: ConfigOption = DEFAULT) -> None:
    """Choose learning rates from the grid. There is one shared rate and one for each method."""
    from intro.training.selection import select

    select(config)


@_command(RULE)
def train(
    model: ModelOption,
    method: MethodOption,
    protocol: ProtocolOption = "paper",
    seed: SeedOption = 0,
    config: ConfigOption = DEFAULT,
    threads: ThreadsOption = 1,
) -> None:
    """Train a model with a method. Resumes where an interrupted run stopped."""
    from intro.training.launch import launch
    from intro.training.run import train_cell

    launch(config, model, lambda: train_cell(config, _cell(model, method, protocol, seed)))


@_command(RULE)
def generate(
    model: ModelOption,
    method: MethodOption,
    suites: SuitesOption,
    protocol: ProtocolOption = "paper",
    seed: SeedOption = 0,
    config: ConfigOption = DEFAULT,
    threads: ThreadsOption = 1,
) -> None:
    """Generate responses with one checkpoint. It answers every problem of the suites."""
    from intro.evaluation.generate import generate
    from intro.infra.gpus import reserve_gpus

    with reserve_gpus(min(1, _hardware(config, model).gpus)):
        generate(config, _cell(model, method, protocol, seed), suites)


@_command(RULE)
def grade(
    model: ModelOption,
    method: MethodOption,
    suites: SuitesOption,
    protocol: ProtocolOption = "paper",
    seed: SeedOption = 0,
    config: ConfigOption = DEFAULT,
) -> None:
    """Grade and verify stored generations."""
    from intro.evaluation.grade import grade

    grade(config, _cell(model, method, protocol, seed), suites)


@_command(RULE)
def judge(
    model: ModelOption,
    method: MethodOption,
    suite: SuiteOption,
    protocol: ProtocolOption = "paper",
    seed: SeedOption = 0,
    config: ConfigOption = DEFAULT,
) -> None:
    """Verify correct responses with the judge model, for Figure 6."""
    from intro.evaluation.judge import judge
    from intro.infra.gpus import reserve_gpus

    with reserve_gpus(config.verifier.hardware.gpus if config.verifier else 0):
        judge(config, _cell(model, method, protocol, seed), suite)


@_command(RULE, "base-check")
def base_check(config: ConfigOption = DEFAULT) -> None:
    """Compare base models with the paper's base rows."""
    from intro.analysis.compare.base_check import base_check

    table = next(file for file in base_check(config) if file.suffix == ".md")
    typer.echo(table.read_text(), nl=False)


@_command(RULE)
def collect(config: ConfigOption = DEFAULT) -> None:
    """Gather responses, scores, curves, metrics and grid into files."""
    from intro.analysis.data.collect import collect

    collect(config)


@_command(RULE)
def posterior(config: ConfigOption = DEFAULT, threads: ThreadsOption = 1) -> None:
    """Measure the KL from the true posterior to the estimated one. Bayes' rule over samples gives the true one."""
    from intro.evaluation.posterior import posterior_check

    posterior_check(config)


@_command(RULE)
def cost(config: ConfigOption = DEFAULT, threads: ThreadsOption = 1) -> None:
    """Measure passes, FLOPs, seconds and peak memory of an update."""
    from intro.cost.measure.updates import cost_check
    from intro.infra.gpus import reserve_gpus

    with reserve_gpus(min(1, _hardware(config, config.cost.model).gpus)):
        cost_check(config)


@_command(RULE)
def theory(config: ConfigOption = DEFAULT) -> None:
    """Decide Proposition 2.1 and related statements with sympy."""
    from intro.theory import write

    folder = config.results_dir / "theory"
    _recorded(config, lambda: write(folder), folder / "record.json")


@_command(RULE)
def table(
    names: Annotated[list[str], typer.Argument(help="Write these: main, main_tuned, ood, ablation_n, controls.")],
    config: ConfigOption = DEFAULT,
) -> None:
    """Write tables as CSV, Markdown and LaTeX."""
    from intro.analysis.tables.build import table

    for name in names:
        _recorded(config, partial(table, config, name))


@_command(RULE)
def figure(
    names: Annotated[list[str], typer.Argument(help="Draw these figures, or the word all.")],
    config: ConfigOption = DEFAULT,
) -> None:
    """Draw figures as PNG and PDF."""
    from intro.analysis.figures.build import figure
    from intro.sources import FIGURES

    for name in FIGURES if names == ["all"] else names:
        _recorded(config, partial(figure, config, name))


@_command(RULE)
def compare(config: ConfigOption = DEFAULT) -> None:
    """Compare this run with the paper and the reference. Audits the paper's tables and judges its claims."""
    from intro.analysis.compare.run import run

    _recorded(config, lambda: run(config), config.results_dir / "compare" / "record.json")


@_command(RULE)
def report(config: ConfigOption = DEFAULT) -> None:
    """Write report.html, the whole comparison on one page."""
    from intro.analysis.report.build import report

    _recorded(config, lambda: [report(config)])


@_command(READ)
def trace(
    table: Annotated[str, typer.Argument(help="Take a cell of this table, such as main.")],
    model: Annotated[str, typer.Argument(help="Take this model, or the paper's model that it stands for.")],
    method: Annotated[str, typer.Argument(help="Take this method of the config, or the word base.")],
    benchmark: Annotated[str, typer.Argument(help="Take this benchmark, or the paper's that it stands for.")],
    protocol: ProtocolOption = "paper",
    config: ConfigOption = DEFAULT,
) -> None:
    """Print the files behind one table cell. Example: `intro trace main qwen3-m intro chain-4`."""
    from intro.analysis.report.trace import trace

    typer.echo(trace(config, table, model, method, benchmark, protocol))


@_command(READ)
def summary(config: ConfigOption = DEFAULT) -> None:
    """Print the claims with their verdicts. Names the files of the results."""
    from intro.analysis.report.summary import summary

    typer.echo(summary(config))


@_command(WRITE)
def publish(config: ConfigOption = DEFAULT) -> None:
    """Copy a run's small files to results/reference. Figures go to figures/reference."""
    from intro.analysis.report.publish import publish

    publish(config)


@_command(WRITE)
def readme(config: ConfigOption = DEFAULT) -> None:
    """Fill the README's tables of claims and gains from the published run that the config names."""
    from intro.analysis.report.readme import fill

    fill(config)


@_command(WRITE)
def rehearse(config: ConfigOption = Path("config/rehearsal.yaml")) -> None:
    """Write toy checkpoints and a few rows of every benchmark."""
    _threads(os.cpu_count() or 1)
    from intro.rehearsal import write_fixtures

    for folder in write_fixtures(config):
        typer.echo(folder)


def _with_numbers(command: Callable[..., None]) -> Callable[..., None]:
    """Give a command an option for each number that an estimate assumes: it gets them as keyword arguments."""
    *named, csv, _ = inspect.signature(command, eval_str=True).parameters.values()
    options = [
        inspect.Parameter(
            field.name, csv.kind, default=None, annotation=Annotated[float | None, typer.Option(**field.metadata)]
        )
        for field in (*fields(Accelerator), *fields(Assumptions))
        if field.metadata
    ]
    command.__signature__ = inspect.Signature([*named, *options, csv])
    return command


@app.command(rich_help_panel=READ)
@_with_numbers
def plan(
    config: ConfigOption = DEFAULT,
    accelerator: Annotated[
        str | None, typer.Option(help="Plan for this device: a100, h100, h200, l40s, ... [default: a100, or cpu]")
    ] = None,
    *,
    csv: Annotated[Path | None, typer.Option(help="Also write the targets to this CSV file.")] = None,
    **numbers: float | None,
) -> None:
    """Estimate the GPU-hours, memory, disk and price of a config."""
    from intro.cost.estimate.report import plan

    typer.echo(plan(_load(config), accelerator, numbers, csv, str(config)))


@_command(READ)
def doctor(config: ConfigOption = DEFAULT) -> None:
    """Check that this machine has what a config needs. Exit code 1 when something is missing."""
    from intro.doctor import examine, lines

    found = examine(config)
    typer.echo("\n".join(lines(found)))
    if any(finding.fails for finding in found.values()):
        raise typer.Exit(1)


@app.command(rich_help_panel=WRITE)
def schema() -> None:
    """Print the JSON schema of configs, as YAML."""
    from intro.config import schema

    typer.echo(schema(), nl=False)


def main() -> None:
    """Entry point: an expected error is one sentence on stderr and exit code 1."""
    if sys.version_info < (3, 11):  # noqa: UP036 - a copied source tree gets this far on an older Python
        sys.exit(f"intro needs Python 3.11 or newer, found {sys.version.split()[0]}; make the environment with one")
    try:
        app(standalone_mode=True)
    except Exception as error:
        said = sentence_of(error)
        if said is None or "--debug" in sys.argv or os.environ.get("INTRO_DEBUG"):
            raise
        sys.exit(f"intro: {said}")


if __name__ == "__main__":  # `python -m intro.cli` is what a launcher of several processes starts
    main()
