"""`intro`: one subcommand per rule of the workflow. Thin, and lazy: a command imports only what it needs."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Annotated

import typer

from intro.types import IntroError, sentence_of

app = typer.Typer(
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,  # rich takes longer to import than the help to print
    context_settings={"help_option_names": ["-h", "--help"]},
)
ConfigOption = Annotated[Path, typer.Option("--config", "-c", help="Config file.")]
ModelOption = Annotated[str, typer.Option("--model", help="Model id of the config.")]
MethodOption = Annotated[str, typer.Option("--method", help="Method of the config, or base.")]
ProtocolOption = Annotated[str, typer.Option("--protocol", help="paper (shared rate), tuned, or base.")]
SeedOption = Annotated[int, typer.Option("--seed", help="Training seed; of a base model the one of its pretraining.")]
SuiteOption = Annotated[str, typer.Option("--suite", help="Suite of benchmarks of the config.")]
SuitesOption = Annotated[list[str], typer.Option("--suite", help="Suite of the config; may be given several times.")]
ThreadsOption = Annotated[int, typer.Option("--threads", min=1, help="Torch threads.")]
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


def _record(path: Path, watch, config, files: list[Path]) -> None:
    """Provenance of a derived result: tables, figures and comparisons come from the files that `collect` made."""
    from intro.infra.files import write_json

    record = watch.record(settings=config.model_dump(mode="json"), seed=config.seed)
    write_json(path, record | {"files": [str(file) for file in files]})


def _hardware(config, model: str):
    from intro.experiments import check_model

    check_model(config, model)
    return config.models[model].hardware


def _cell(model: str, method: str, protocol: str, seed: int):
    from intro.experiments import Cell

    return Cell(model, method, protocol, seed)


@app.callback()
def options(
    debug: Annotated[bool, typer.Option("--debug", help="Show the traceback of an error.")] = False,
) -> None:
    """InTRO, reproduced: data, training, evaluation, tables, figures and the comparison with the paper."""


@app.command()
def data(config: ConfigOption = DEFAULT) -> None:
    """Write the problems of every benchmark and split, and a corpus."""
    from intro.tasks.prepare import prepare

    prepare(_load(config))


@app.command()
def pretrain(
    model: ModelOption, config: ConfigOption = DEFAULT, seed: SeedOption = 0, threads: ThreadsOption = 1
) -> None:
    """Train a tiny base model and save it as a Hugging Face folder."""
    loaded = _load(config)
    _threads(threads)
    from intro.training.run import pretrain_base

    pretrain_base(loaded, model, seed)


@app.command()
def fetch(
    model: Annotated[str | None, typer.Option("--model", help="Model id of the config.")] = None,
    verifier: Annotated[bool, typer.Option("--verifier", help="The judge model instead.")] = False,
    config: ConfigOption = DEFAULT,
) -> None:
    """Get a published model. From the Hub, from INTRO_MODELS_DIR, or from a folder."""
    loaded = _load(config)
    from intro.model.fetch import fetch_judge, fetch_model

    if verifier == (model is not None):
        raise IntroError("intro fetch: expected either --model NAME or --verifier; see `intro fetch --help`")
    fetch_judge(loaded) if verifier else fetch_model(loaded, model)


@app.command()
def sweep(model: ModelOption, method: MethodOption, config: ConfigOption = DEFAULT, threads: ThreadsOption = 1) -> None:
    """Train a method at every learning rate of the grid. The validation problems judge them."""
    loaded = _load(config)
    _threads(threads)
    from intro.training.launch import launch
    from intro.training.run import sweep

    launch(loaded, model, lambda: sweep(loaded, model, method))


@app.command()
def select(config: ConfigOption = DEFAULT) -> None:
    """Choose learning rates from the grid. A shared one, and each method's own."""
    from intro.training.selection import select

    select(_load(config))


@app.command()
def train(
    model: ModelOption,
    method: MethodOption,
    protocol: ProtocolOption = "paper",
    seed: SeedOption = 0,
    config: ConfigOption = DEFAULT,
    threads: ThreadsOption = 1,
) -> None:
    """Train a model with a method. Resumes where an interrupted run stopped."""
    loaded = _load(config)
    _threads(threads)
    from intro.training.launch import launch
    from intro.training.run import train_cell

    launch(loaded, model, lambda: train_cell(loaded, _cell(model, method, protocol, seed)))


@app.command()
def generate(
    model: ModelOption,
    method: MethodOption,
    suites: SuitesOption,
    protocol: ProtocolOption = "paper",
    seed: SeedOption = 0,
    config: ConfigOption = DEFAULT,
    threads: ThreadsOption = 1,
) -> None:
    """Answer every problem of some suites with one checkpoint."""
    loaded = _load(config)
    _threads(threads)
    from intro.evaluation.generate import generate
    from intro.infra.gpus import reserve_gpus

    with reserve_gpus(min(1, _hardware(loaded, model).gpus)):
        generate(loaded, _cell(model, method, protocol, seed), suites)


@app.command()
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

    grade(_load(config), _cell(model, method, protocol, seed), suites)


@app.command()
def judge(
    model: ModelOption,
    method: MethodOption,
    suite: SuiteOption,
    protocol: ProtocolOption = "paper",
    seed: SeedOption = 0,
    config: ConfigOption = DEFAULT,
) -> None:
    """Let the judge model read the correct responses behind Figure 6."""
    loaded = _load(config)
    from intro.evaluation.judge import judge
    from intro.infra.gpus import reserve_gpus

    with reserve_gpus(loaded.verifier.hardware.gpus if loaded.verifier else 0):
        judge(loaded, _cell(model, method, protocol, seed), suite)


@app.command("base-check")
def base_check(config: ConfigOption = DEFAULT) -> None:
    """Base models beside the paper's base rows: tables/main_base."""
    from intro.analysis.compare.base_check import base_check

    table = next(file for file in base_check(_load(config)) if file.suffix == ".md")
    typer.echo(table.read_text(), nl=False)


@app.command()
def collect(config: ConfigOption = DEFAULT) -> None:
    """Gather graded responses, scores, curves, metrics and grid into files."""
    from intro.analysis.data.collect import collect

    collect(_load(config))


@app.command()
def posterior(config: ConfigOption = DEFAULT, threads: ThreadsOption = 1) -> None:
    """KL from the true posterior to the estimated one. The true one is Bayes over sampled rationales."""
    loaded = _load(config)
    _threads(threads)
    from intro.evaluation.posterior import posterior_check

    posterior_check(loaded)


@app.command()
def cost(config: ConfigOption = DEFAULT, threads: ThreadsOption = 1) -> None:
    """Measure updates: passes, FLOPs, seconds and peak memory."""
    loaded = _load(config)
    _threads(threads)
    from intro.cost.measure.updates import cost_check
    from intro.infra.gpus import reserve_gpus

    with reserve_gpus(min(1, _hardware(loaded, loaded.cost.model).gpus)):
        cost_check(loaded)


@app.command()
def theory(config: ConfigOption = DEFAULT) -> None:
    """Prove Proposition 2.1 and its neighbours with sympy."""
    loaded = _load(config)
    from intro.infra.provenance import Provenance
    from intro.theory import write

    watch, folder = Provenance(), loaded.results_dir / "theory"
    write(folder)
    _record(folder / "record.json", watch, loaded, [folder / "identities.json", folder / "identities.md"])


@app.command()
def table(names: list[str], config: ConfigOption = DEFAULT) -> None:
    """Lay out tables: main, main_tuned, ood, ablation_n, controls."""
    loaded = _load(config)
    from intro.analysis.tables.build import table
    from intro.infra.provenance import Provenance

    for name in names:
        watch = Provenance()
        files = table(loaded, name)
        _record(files[0].with_suffix(".record.json"), watch, loaded, files)


@app.command()
def figure(names: list[str], config: ConfigOption = DEFAULT) -> None:
    """Draw figures by name, or `all`."""
    loaded = _load(config)
    from intro.analysis.figures.build import figure
    from intro.infra.provenance import Provenance
    from intro.sources import FIGURES

    for name in FIGURES if names == ["all"] else names:
        watch = Provenance()
        files = figure(loaded, name)
        _record(files[0].with_suffix(".record.json"), watch, loaded, files)


@app.command()
def compare(config: ConfigOption = DEFAULT) -> None:
    """Set reported, reference and this run side by side. Audits the reported tables and judges the claims."""
    loaded = _load(config)
    from intro.analysis.compare.run import run
    from intro.infra.provenance import Provenance

    watch = Provenance()
    files = run(loaded)
    _record(loaded.results_dir / "compare" / "record.json", watch, loaded, files)


@app.command()
def report(config: ConfigOption = DEFAULT) -> None:
    """Write report.html: all of it on one page."""
    loaded = _load(config)
    from intro.analysis.report.build import report
    from intro.infra.provenance import Provenance

    watch = Provenance()
    _record(loaded.results_dir / "report.record.json", watch, loaded, [report(loaded)])


@app.command()
def trace(
    table: str,
    model: str,
    method: str,
    benchmark: str,
    protocol: ProtocolOption = "paper",
    config: ConfigOption = DEFAULT,
) -> None:
    """Walk from a table cell to its origins. As in `intro trace main qwen3-m intro chain-4`."""
    loaded = _load(config)
    from intro.analysis.report.trace import trace

    typer.echo(trace(loaded, table, model, method, benchmark, protocol))


@app.command()
def summary(config: ConfigOption = DEFAULT) -> None:
    """Print where the results are, and the scoreboard of claims."""
    loaded = _load(config)
    from intro.analysis.report.summary import summary

    typer.echo(summary(loaded))


@app.command()
def publish(config: ConfigOption = DEFAULT) -> None:
    """Copy a run's small files below results/reference. Tables and records there, figures below figures/reference."""
    loaded = _load(config)
    from intro.analysis.report.publish import publish

    publish(loaded)


@app.command()
def readme(config: ConfigOption = DEFAULT) -> None:
    """Fill the README's comparison table from this run."""
    from intro.analysis.report.readme import fill

    fill(_load(config))


@app.command()
def rehearse(config: ConfigOption = Path("config/rehearsal.yaml")) -> None:
    """Write toy checkpoints and a few rows of every benchmark."""
    loaded = _load(config)
    _threads(os.cpu_count() or 1)
    from intro.rehearsal import write_fixtures

    for folder in write_fixtures(loaded):
        typer.echo(folder)


@app.command()
def plan(
    config: ConfigOption = DEFAULT,
    accelerator: Annotated[str | None, typer.Option("--accelerator", help="a100, h100, h200, l40s, ...")] = None,
    tflops: Annotated[float | None, typer.Option("--tflops", help="Its peak, 1e12 FLOP/s.")] = None,
    bandwidth: Annotated[float | None, typer.Option("--bandwidth", help="Its memory's, 1e12 byte/s.")] = None,
    memory: Annotated[float | None, typer.Option("--memory", help="Of one, 1e9 bytes.")] = None,
    price: Annotated[float | None, typer.Option("--price", help="Of an hour of one.")] = None,
    mean_tokens: Annotated[float | None, typer.Option("--mean-tokens", help="Of a response.")] = None,
    prompt_tokens: Annotated[float | None, typer.Option("--prompt-tokens", help="Of a question.")] = None,
    gold_tokens: Annotated[float | None, typer.Option("--gold-tokens", help="Of a gold rationale.")] = None,
    accuracy: Annotated[float | None, typer.Option("--accuracy", help="Share of rollouts that are right.")] = None,
    mfu: Annotated[float | None, typer.Option("--mfu", help="Share of peak FLOP/s in training.")] = None,
    bandwidth_share: Annotated[float | None, typer.Option("--bandwidth-share", help="In decoding.")] = None,
    decode_share: Annotated[float | None, typer.Option("--decode-share", help="Of FLOP/s in decoding.")] = None,
    slack: Annotated[float | None, typer.Option("--slack", help="Times the arithmetic.")] = None,
    csv: Annotated[Path | None, typer.Option("--csv", help="Also write the targets to this file.")] = None,
) -> None:
    """Estimate GPU-hours, memory, disk and price of a config."""
    loaded = _load(config)
    from intro.cost.estimate import assumptions as assume
    from intro.cost.estimate.report import plan

    name = accelerator or assume.default_accelerator(loaded)
    chip = assume.accelerator(name, tflops=tflops, bandwidth=bandwidth, memory=memory, price=price)
    assumed = assume.assumptions(
        loaded, mean_tokens=mean_tokens, prompt_tokens=prompt_tokens, gold_tokens=gold_tokens, accuracy=accuracy,
        mfu=mfu, bandwidth_share=bandwidth_share, decode_flops_share=decode_share, slack=slack,
    )  # fmt: skip
    typer.echo(plan(loaded, chip, assumed, csv, str(config)))


@app.command()
def doctor(config: ConfigOption = DEFAULT) -> None:
    """Check that this machine has what a config needs. Exit code 1 when something is missing."""
    loaded = _load(config)
    from intro.doctor import examine, lines

    found = examine(loaded)
    typer.echo("\n".join(lines(found)))
    if any(finding.fails for finding in found.values()):
        raise typer.Exit(1)


@app.command()
def schema() -> None:
    """Print the config's schema. workflow/schemas/config.schema.yaml holds it."""
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
