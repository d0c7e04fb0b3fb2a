"""The command line: light to start, and every expected mistake is one sentence on stderr with a non-zero exit."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
import typer.main
import yaml
from typer.testing import CliRunner

from intro import __version__, cli
from toy import mapping


def intro(*arguments: str, **environment: str) -> subprocess.CompletedProcess:
    """`intro ...` in a process of its own."""
    code = "import sys; sys.argv[0] = 'intro'; from intro.cli import main; main()"
    return subprocess.run(
        [sys.executable, "-c", code, *map(str, arguments)],
        capture_output=True,
        text=True,
        env={**{k: v for k, v in os.environ.items() if k != "INTRO_DEBUG"}, **environment},
    )


def config_file(root: Path, **changes: object) -> Path:
    file = root / "toy.yaml"
    file.write_text(yaml.safe_dump(mapping(root) | changes))
    return file


def sentence(monkeypatch: pytest.MonkeyPatch, *arguments: object) -> str:
    """What `main` exits with: the sentence that Python prints on stderr with exit code 1."""
    monkeypatch.setattr(sys, "argv", ["intro", *map(str, arguments)])
    monkeypatch.delenv("INTRO_DEBUG", raising=False)
    with pytest.raises(SystemExit) as stop:
        cli.main()
    assert isinstance(stop.value.code, str), f"exit code {stop.value.code}"
    assert stop.value.code.startswith("intro: ") and "\n" not in stop.value.code
    return stop.value.code


CELL = ("--model", "qwen2-s", "--method", "intro", "--suite", "main")


def test_bad_input_exits_with_one_sentence_and_no_traceback(tmp_path: Path) -> None:
    """As a user sees it: nothing on stdout, one line on stderr, exit code 1."""
    done = intro("data", "--config", config_file(tmp_path, trainning={}))
    assert (done.returncode, done.stdout) == (1, "")
    assert re.fullmatch(r"intro: \S*toy\.yaml: unknown key 'trainning'; [^\n]+\n", done.stderr)


@pytest.mark.parametrize(("arguments", "environment"), [(["--debug"], {}), ([], {"INTRO_DEBUG": "1"})])
def test_debug_shows_the_traceback(arguments: list[str], environment: dict[str, str], tmp_path: Path) -> None:
    """The global option before the subcommand, or the variable."""
    done = intro(*arguments, "data", "--config", config_file(tmp_path, trainning={}), **environment)
    assert done.returncode != 0 and "Traceback" in done.stderr and "unknown key 'trainning'" in done.stderr


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("train", "--model", "gpt", "--method", "intro"), "model: unknown 'gpt'; this config has qwen2-s, qwen3-m"),
        (("train", *CELL[:4]), "learning_rates.json: no such file; `intro select` makes it"),
        (("generate", "--model", "qwen2-s", "--method", "ppo", "--suite", "main"), "method: unknown 'ppo'"),
        (("generate", "--model", "gpt", "--method", "base", "--suite", "main"), "model: unknown 'gpt'"),
        (("generate", "--model", "qwen2-s", "--method", "base", "--suite", "ood"), "suite: unknown 'ood'"),
        (("grade", *CELL), "generations.jsonl: no such file"),
        (("sweep", "--model", "qwen2-s", "--method", "ppo"), "method: unknown 'ppo'"),
        (("pretrain", "--model", "gpt"), "model: unknown 'gpt'"),
        (("select",), "no such file; run `intro sweep`"),
        (("collect",), "no such file"),
        (("table", "best"), "there is no table 'best' in this config; it has "),
        (("figure", "cake"), "there is no figure 'cake'; known are overview, "),
        (("trace", "main", "qwen2-s", "intro", "chain-2"), "score.json: no such file"),
        (("trace", "main", "gpt", "intro", "chain-2"), "model: unknown 'gpt'"),
        (("summary",), "claims.csv: no such file"),
        (("publish",), "this config names no folder to publish to"),
    ],
    ids=lambda v: " ".join(v[:4]) if isinstance(v, tuple) else "",
)  # fmt: skip
def test_every_command_says_what_is_wrong(
    toy_config, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, arguments: tuple[str, ...], message: str
) -> None:
    """Unknown names, and results that another command has to make first; never a raw exception."""
    monkeypatch.chdir(tmp_path)
    assert message in sentence(monkeypatch, *arguments, "--config", config_file(tmp_path))


def test_config_that_is_not_there(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    assert "no such config file" in sentence(monkeypatch, "data", "--config", tmp_path / "none.yaml")


@pytest.mark.parametrize("command", [("data",), ("compare",)])
def test_results_folder_that_cannot_be_written(
    command: tuple[str, ...], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Its parent is a file."""
    (tmp_path / "results").write_text("a file")
    text = sentence(monkeypatch, *command, "--config", config_file(tmp_path))
    assert "cannot make this results folder" in text and str(tmp_path / "results") in text


def test_model_folder_that_is_none(toy_config, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Empty, or with weights that are cut off: the folder is named."""
    folder = tmp_path / "results/toy/models/qwen2-s/seed0"
    weights = folder / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:100])
    base = ("generate", "--model", "qwen2-s", "--method", "base", "--suite", "main")
    assert str(folder) in sentence(monkeypatch, *base, "--config", config_file(tmp_path))
    (tmp_path / "results/toy/learning_rates.json").write_text(
        json.dumps({"paper": {"learning_rate": 0.1, "steps": 1}, "tuned": {}})
    )
    train = ("train", "--model", "qwen2-s", "--method", "intro")
    assert str(folder) in sentence(monkeypatch, *train, "--config", config_file(tmp_path))
    for file in folder.iterdir():
        file.unlink()
    assert "expected a Hugging Face model folder" in sentence(monkeypatch, *base, "--config", config_file(tmp_path))


@pytest.mark.parametrize("arguments", [["fly"], ["data", "--speed", "3"], ["train"], ["pretrain", "--threads", "0"]])
def test_wrong_usage_is_explained(arguments: list[str]) -> None:
    """Unknown commands and options, missing and impossible ones: the usage, exit code 2."""
    done = CliRunner().invoke(cli.app, arguments)
    assert done.exit_code == 2 and "Traceback" not in done.output


@pytest.mark.parametrize("command", [c.name or c.callback.__name__ for c in cli.app.registered_commands])
def test_every_command_has_help(command: str) -> None:
    done = CliRunner().invoke(cli.app, [command, "--help"])
    assert done.exit_code == 0 and "Usage" in done.output


def test_data_writes_every_split(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A command that succeeds exits quietly with its files and their record."""
    monkeypatch.setattr(sys, "argv", ["intro", "data", "--config", str(config_file(tmp_path))])
    with pytest.raises(SystemExit) as stop:
        cli.main()
    assert stop.value.code in (0, None)
    found = {p.name for p in (tmp_path / "results/toy/problems").iterdir()}
    splits = ("chain-2", "chain-3", "train", "validation", "corpus")
    assert found == {*(f"{name}.jsonl" for name in splits), "record.json"}


# ---------------------------------------------------------------- what a command imports

HEAVY = ("torch", "transformers", "datasets", "pandas", "numpy", "scipy", "scipy.stats", "sympy", "matplotlib", "rich")


def imported(code: str, names: tuple[str, ...] = HEAVY) -> set[str]:
    """Which of these modules a new process has after running the code."""
    watched = (
        f"import atexit, sys\natexit.register(lambda: print('|', *(n for n in {names} if n in sys.modules)))\n{code}"
    )
    done = subprocess.run([sys.executable, "-c", watched], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return set(done.stdout.split("|")[-1].split())


def command(*arguments: object) -> str:
    return f"sys.argv = {['intro', *map(str, arguments)]}\nfrom intro.cli import main\nmain()"


def test_starting_imports_nothing_heavy() -> None:
    """The ground floor, which the workflow reads as well, waits for none of these."""
    assert not imported(
        "import intro.cli, intro.config, intro.experiments, intro.infra.provenance, intro.infra.seeds, intro.types"
    )


def test_help_reads_no_config_and_draws_no_boxes() -> None:
    assert not imported(command("--help"), (*HEAVY, "pydantic", "yaml", "intro.config"))


def test_the_version_is_printed() -> None:
    done = CliRunner().invoke(cli.app, ["--version"])
    assert (done.exit_code, done.output) == (0, f"intro {__version__}\n")


def test_help_shows_each_command_in_one_whole_sentence(monkeypatch: pytest.MonkeyPatch) -> None:
    """At 80 columns no summary is cut off; what people use comes before what rules call."""
    monkeypatch.setenv("COLUMNS", "80")
    sections = CliRunner().invoke(cli.app, ["--help"]).output.split("\n\n")[-3:]
    assert [section.splitlines()[0] for section in sections] == [
        f"{title}:" for title in (cli.READ, cli.WRITE, cli.RULE)
    ]
    listed = [line.strip() for section in sections for line in section.splitlines()[1:] if line]
    assert len(listed) == len(cli.app.registered_commands) and all(line.endswith(".") for line in listed)
    first = [line.split()[0] for line in sections[0].splitlines()[1:]]
    assert {"summary", "trace", "plan", "doctor"} <= set(first)


@pytest.mark.parametrize("command", [c.name or c.callback.__name__ for c in cli.app.registered_commands])
def test_help_of_a_command_is_whole_sentences_in_80_columns(command: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each option and argument says what it does; units and defaults that click cannot know stand in brackets."""
    monkeypatch.setenv("COLUMNS", "80")
    lines = CliRunner().invoke(cli.app, [command, "--help"]).output.splitlines()
    assert max(map(len, lines)) <= 80
    for parameter in typer.main.get_command(cli.app).commands[command].params:
        text = re.sub(r" \[default: .*\]$", "", parameter.help or "")
        assert re.fullmatch(r"[A-Z].*\.", text) and " " in text, f"{command} {parameter.name}: {text!r}"


def test_evaluation_with_the_own_engine_imports_torch_and_not_transformers(toy_config, tmp_path: Path) -> None:
    """Generation needs tensors; grading the tiny world needs not even numbers in arrays."""
    base = ("--model", "qwen2-s", "--method", "base", "--protocol", "base", "--suite", "main")
    base += ("--config", config_file(tmp_path))
    assert imported(command("generate", *base)) <= {"torch", "numpy"}
    assert imported(command("grade", *base)) == set()


def test_tables_and_report_import_neither_statistics_nor_drawing(tmp_path: Path) -> None:
    """scipy.stats takes as long as all the rest of a table; the report shows figures that others drew."""
    modules = ("tables.build", "data.collect", "compare.run", "report.build")
    code = "import " + ", ".join(f"intro.analysis.{name}" for name in modules)
    assert imported(code) == {"pandas", "numpy"}
