"""The documents name what exists: links, anchors, files, symbols, modules, commands and their options, targets."""

from __future__ import annotations

import ast
import functools
import os
import re
import shlex
import shutil
import subprocess
import sys
from collections import defaultdict
from pathlib import Path

import pandas as pd
import pytest
import typer
import typer.main
import yaml

from intro import cli

ROOT = Path(__file__).resolve().parents[1]
DOCUMENTS = sorted([*ROOT.glob("*.md"), *ROOT.glob("docs/*.md"), ROOT / "config/README.md"])
CURRENT = [d for d in DOCUMENTS if d.name != "CHANGELOG.md"]  # a changelog names what is gone
MADE_BY_READERS = {"config/frozen.yaml", "config/mine.yaml", "config/paper.lock.json"}
OF_OTHERS = {"evaluation/parser.py", "evaluation/grader.py"}  # in Qwen2.5-Math's repository
FENCE = re.compile(r"^```(\w*)\n(.*?)^```", re.M | re.S)
SYMBOLS = re.compile(r"`([\w./+-]+\.(?:py|smk)): ([\w.]+)`((?:,? (?:and )?`[A-Za-z_][\w.]*`)*)")
ids = {"ids": lambda value: str(value.relative_to(ROOT)) if isinstance(value, Path) else None}


def prose(document: Path) -> str:
    """The text without fenced blocks."""
    return FENCE.sub("", document.read_text())


def found(name: str, document: Path) -> Path | None:
    """A file by its path from the document, the root, the package or the tests; a bare name of code anywhere there."""
    bases = (document.parent, ROOT, ROOT / "src", ROOT / "src/intro", ROOT / "tests")
    below = (
        f for top in ("src", "tests", "benchmarks", "workflow") for f in (ROOT / top).rglob(name) if "/" not in name
    )
    return next((base / name for base in bases if (base / name).exists()), None) or next(below, None)


@functools.cache
def defined(file: Path) -> frozenset[str]:
    """Names of a Python file: of modules, and `Class.name` for methods, fields and attributes set on self."""
    names: set[str] = set()

    def visit(body: list[ast.stmt], prefix: str) -> None:
        for node in body:
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
                names.add(prefix + node.name)
            if isinstance(node, ast.ClassDef):
                visit(node.body, f"{prefix}{node.name}.")
            targets = node.targets if isinstance(node, ast.Assign) else [getattr(node, "target", None)]
            names.update(prefix + target.id for target in targets if isinstance(target, ast.Name))
            if isinstance(node, ast.If | ast.Try):
                visit(node.body, prefix)
            if isinstance(node, ast.ImportFrom) and file.name == "__init__.py":
                names.update(alias.asname or alias.name for alias in node.names)

    visit(ast.parse(file.read_text()).body, "")
    return frozenset(names)


def table_rows(text: str) -> list[list[str]]:
    """The cells of Markdown tables, heads and rulers included."""
    return [
        [cell.strip() for cell in re.split(r"(?<!\\)\|", line.strip("|"))]
        for line in text.splitlines()
        if line.startswith("|")
    ]


def slug(heading: str) -> str:
    """The anchor that GitHub gives a heading."""
    text = re.sub(r"[^\w\- ]", "", re.sub(r"\[([^\]]*)\]\([^)]*\)", r"\1", heading).lower())
    return text.strip().replace(" ", "-")


def anchors(document: Path) -> set[str]:
    return {slug(heading) for heading in re.findall(r"^#+ (.*)$", prose(document), re.M)}


@pytest.mark.parametrize("document", DOCUMENTS, **ids)
def test_relative_links_and_anchors_exist(document: Path) -> None:
    wrong = []
    for target in re.findall(r"\]\(([^)\s]+)\)", prose(document)):
        if "://" in target:
            continue
        path, _, anchor = target.partition("#")
        file = document.parent / path if path else document
        if not file.exists() or (anchor and file.suffix == ".md" and anchor not in anchors(file)):
            wrong.append(target)
    assert not wrong


@pytest.mark.parametrize("document", CURRENT, **ids)
def test_files_exist(document: Path) -> None:
    """Code, rules and pages, and everything below a folder of the repository; not what a run makes."""
    wrong = []
    words = [word for code in re.findall(r"`([^`\n]+)`", prose(document)) for word in code.split()]
    for name in (word for word in words if re.fullmatch(r"[\w./+-]+\.\w+", word)):
        code = name.endswith((".py", ".smk", ".md", ".sh")) and not name.startswith("results/")
        kept = name.startswith(("config/", "src/", "tests/", "docs/", "workflow/", "profiles/", "benchmarks/"))
        if (
            (code or kept)
            and "NAME" not in name
            and name not in MADE_BY_READERS | OF_OTHERS
            and not found(name, document)
        ):
            wrong.append(name)
    made = r"(claims|main_base|identities|comparison)\.md"  # names of pages that a run writes
    assert not [name for name in wrong if not re.fullmatch(f"(tables/|theory/|compare/)?{made}", name)]


@pytest.mark.parametrize("document", CURRENT, **ids)
def test_symbols_exist(document: Path) -> None:
    """`file.py: name`, with further names of the same file after commas."""
    wrong = []
    for name, first, more in SYMBOLS.findall(prose(document)):
        file = found(name, document)
        for symbol in (first, *re.findall(r"`([\w.]+)`", more)):
            if file is None or (file.suffix == ".py" and symbol not in defined(file)):
                wrong.append(f"{name}: {symbol}")
    assert not wrong


def test_every_implementation_detail_names_its_test() -> None:
    """Or says why there is none; rows are numbered in order."""
    rows = [row for row in table_rows((ROOT / "docs/implementation.md").read_text()) if row[0].isdigit()]
    assert [int(row[0]) for row in rows] == list(range(1, len(rows) + 1)) and len(rows) >= 84
    assert all(": test_" in row[-1] or row[-1].startswith("none: ") for row in rows)


def resolves(dotted: str) -> bool:
    """Whether `intro.a.b.C` is a module or something that a module defines."""
    parts = dotted.split(".")
    for length in range(len(parts), 0, -1):
        base = ROOT.joinpath("src", *parts[:length])
        file = next((f for f in (base.with_suffix(".py"), base / "__init__.py") if f.is_file()), None)
        if file:
            return length == len(parts) or ".".join(parts[length:]) in defined(file)
    return False


@pytest.mark.parametrize("document", CURRENT, **ids)
def test_modules_and_classes_exist(document: Path) -> None:
    """Dotted names of the package, `Class.method`, and what Python blocks import from the package."""
    text = prose(document)
    named = re.findall(r"`(intro(?!\.py)(?:\.\w+)+)`", text)
    for language, block in FENCE.findall(document.read_text()):
        if language == "python":
            nodes = [n for n in ast.walk(ast.parse(block)) if isinstance(n, ast.ImportFrom)]
            named += [f"{n.module}.{a.name}" for n in nodes if n.module.split(".")[0] == "intro" for a in n.names]
    wrong = [name for name in named if not resolves(name)]
    known = set().union(*(defined(file) for file in (ROOT / "src/intro").rglob("*.py")))
    members = re.findall(r"`([A-Z][A-Za-z]+\.[a-z_]\w*)(?:\(.*?\))?`", text)
    assert not [*wrong, *(name for name in members if name not in known)]


# ---------------------------------------------------------------- published numbers

PUBLISHED = ROOT / "results/reference/tiny"


def gains() -> pd.Series:
    """(model, method, train_seed) -> points over the base model that the run started from, average of Table 1."""
    scores = pd.read_csv(PUBLISHED / "scores.csv").query("suite == 'main' and protocol in ('base', 'paper')")
    average = scores.groupby(["model", "method", "pretrain_seed"]).value.mean().unstack("method")
    return average.sub(average["base"], axis=0).drop(columns="base").stack().swaplevel(1, 2).sort_index()


def test_readme_controls_are_those_of_the_published_scores() -> None:
    """The gain of each control in each run. `intro readme` fills the other numbers, and its test compares them."""
    by_run = gains()
    controls = [row for row in table_rows((ROOT / "README.md").read_text()) if re.search(r"\(`[\w-]+`\)$", row[0])]
    assert len(controls) == 8
    for first, *cells in controls:
        values = by_run.loc["qwen2-s", re.findall(r"`([\w-]+)`", first)[-1]]
        for cell, value in zip(cells, values, strict=True):
            assert float(cell) == pytest.approx(value, abs=0.0501)


def test_artifact_has_every_claim_with_its_verdict() -> None:
    claims = pd.read_csv(PUBLISHED / "claims.csv").query("protocol in ('paper', 'any')")
    rows = [row for row in table_rows((ROOT / "ARTIFACT.md").read_text()) if row[1].strip("`") in set(claims.claim)]
    expected = claims[["statement", "claim", "verdict"]].to_numpy().tolist()
    assert [[row[0], row[1].strip("`"), row[3]] for row in rows] == expected


def test_hooks_run_the_linters_of_make_lint() -> None:
    """The same tools, from the environment that `make` installs; their packages are in the extra `dev`."""
    hooks = yaml.safe_load((ROOT / ".pre-commit-config.yaml").read_text())["repos"][0]["hooks"]
    recipe = (ROOT / "Makefile").read_text().split("\nlint:")[1].split("\n\n")[0]
    tools = re.findall(r"\$\(RUN\) (\w+)", recipe)
    assert [hook["entry"].split()[0] for hook in hooks] == [f".venv/bin/{tool}" for tool in tools]
    assert all(shutil.which(tool, path=Path(sys.executable).parent) for tool in tools)


# ---------------------------------------------------------------- commands


def commands(document: Path) -> list[str]:
    """The commands of fenced blocks, one a line; continued lines are joined, comments and prompts are dropped."""
    lines = []
    for language, block in FENCE.findall(document.read_text()):
        if language in ("", "bash", "sh", "console"):
            lines += block.replace("\\\n", " ").splitlines()
    return [" ".join(shlex.split(line, comments=True)) for line in lines if re.match(COMMAND, line)]


COMMAND = r"(?:[A-Z_]+=\S+ )*(?:git|cd|make|intro|snakemake|python|pytest|pip|conda|\.)\b"
EVERY = sorted({(line, document) for document in CURRENT for line in commands(document)})
# What runs each command, or why nothing can: a GPU, hours, a network
COVERED = {
    r"git .*|cd .*|\. \.venv.*|pip .*|conda .*": "set-up, which `.ci/run` begins after; it needs a network",
    r"make (reproduce|rehearsal|test|test-quick|lint|setup|help)\b.*": ".ci/run; its parts in tests/test_workflow.py",
    r"make (reference|bench|bench-gpu|clean)\b.*": "hours, a GPU, or a deletion",
    r"intro (plan|doctor) .*": "tests/test_documents.py, below",
    r"intro trace .*": "tests/test_smoke_run.py, on the smoke run",
    r"intro summary.*": ".ci/run, after `make reproduce`; tests/test_cli.py",
    r"intro publish .*": "tests/analysis/report/test_publish.py",
    r"(INTRO_LAUNCH='.*' )?snakemake .*": "tests/test_documents.py, below, with --dry-run; tests/test_workflow.py",
    r"pytest .*": "paths are checked below",
    r"(PYTHONPATH=src )?python benchmarks/.*": "tests/benchmarks; paths are checked below",
}


def test_what_covers_commands_exists() -> None:
    named = {word.strip(",;") for how in COVERED.values() for word in how.split() if word.startswith((".ci", "tests/"))}
    assert named and all((ROOT / name).exists() for name in named)


@pytest.mark.parametrize(("line", "document"), EVERY, **ids)
def test_every_command_is_covered_and_names_what_exists(line: str, document: Path) -> None:
    """One class for each command, scripts and paths that exist, targets of the Makefile, options of `intro`."""
    assert [how for pattern, how in COVERED.items() if re.fullmatch(pattern, line)], "add it to COVERED, with its test"
    for word in shlex.split(line):
        if re.fullmatch(r"(tests|benchmarks|config|profiles|workflow)/[\w./]+", word) and word not in MADE_BY_READERS:
            assert (ROOT / word).exists(), word
    words = [w for w in shlex.split(line) if "=" not in w]
    if words[0] == "make":
        assert set(words[1:]) <= set(re.findall(r"^([\w-]+):", (ROOT / "Makefile").read_text(), re.M))
    if words[0] == "intro":
        parse(words[1:])


def parse(arguments: list[str]) -> None:
    """Let Typer read a command line; an unknown command, option or missing argument raises."""
    group = typer.main.get_command(cli.app)
    with typer.Context(group) as context:
        _, command, rest = group.resolve_command(context, [a for a in arguments if a not in (">", "-n")])
    command.make_context(arguments[0], list(rest))


@pytest.mark.parametrize("document", CURRENT, **ids)
def test_commands_in_the_text_exist(document: Path) -> None:
    """`intro x --option` and `make x` between backticks."""
    group = typer.main.get_command(cli.app)
    targets = set(re.findall(r"^([\w-]+):", (ROOT / "Makefile").read_text(), re.M))
    text = prose(document)
    wrong = [f"make {name}" for name in re.findall(r"`make ([a-z-]+)", text) if name not in targets]
    for name, rest in re.findall(r"`intro ([a-z][a-z-]*)([^`]*)`", text):
        command = group.commands.get(name)
        known = {option for p in command.params for option in p.opts} if command else set()
        if command is None or not {*re.findall(r"--[a-z-]+", rest)} - {"--help"} <= known:
            wrong.append(f"intro {name}{rest}")
    assert not wrong


def intro(*arguments: str, folder: Path) -> subprocess.CompletedProcess:
    code = "import sys; sys.argv[0] = 'intro'; from intro.cli import main; main()"
    environment = os.environ | {"PYTHONPATH": str(ROOT / "src"), "HF_HUB_OFFLINE": "1"}
    return subprocess.run(
        [sys.executable, "-c", code, *arguments], cwd=folder, env=environment, capture_output=True, text=True
    )


@pytest.mark.slow
def test_plans_and_checks_that_documents_show_run(tmp_path: Path) -> None:
    """Every `intro plan` and `intro doctor` of a fenced block; `doctor` may find that this machine lacks something."""
    for name in ("config", "workflow"):
        shutil.copytree(ROOT / name, tmp_path / name)
    shutil.copy(ROOT / "constraints.txt", tmp_path)
    for line in sorted({line for line, _ in EVERY if re.match("intro (plan|doctor)", line)}):
        if any(file in line for file in MADE_BY_READERS):
            continue
        done = intro(*shlex.split(line)[1:], folder=tmp_path)
        expected = (0, 1) if line.startswith("intro doctor") else (0,)
        assert done.returncode in expected and "Traceback" not in done.stderr, f"{line}\n{done.stderr}"


@pytest.mark.pipeline
def test_snakemake_commands_that_documents_show_can_be_planned(tmp_path: Path) -> None:
    """Their targets exist. Targets of one config or profile are planned together, since a start takes seconds."""
    for name in ("Snakefile", "workflow", "config", "profiles", "src", "environment.yml", "pyproject.toml"):
        source = ROOT / name
        ignore = shutil.ignore_patterns("__pycache__", "*.egg-info")
        shutil.copytree(source, tmp_path / name, ignore=ignore) if source.is_dir() else shutil.copy(source, tmp_path)
    for document in CURRENT:  # configs that a page shows, under the name in their first line
        for name, text in re.findall(r"^```yaml\n# (config/\w+\.yaml)\n(.*?)^```", document.read_text(), re.M | re.S):
            (tmp_path / name).write_text(text)
    targets: dict[tuple[str, ...], set[str]] = defaultdict(set)
    inline = {f"snakemake{rest}" for d in CURRENT for rest in re.findall(r"`snakemake( --cores[^`]+)`", prose(d))}
    for line in {line for line, _ in EVERY if "snakemake " in line} | inline:
        where, what = arguments_of(line)
        if "profiles/slurm" not in where:  # needs its plugin: tests/test_workflow.py plans it
            targets[where] |= what
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    for where, what in targets.items():
        done = subprocess.run(
            ["snakemake", *sorted(what), "--dry-run", *(where or ("--configfile", "config/tiny.yaml")),
             *("--cores", "2", "--quiet", "rules")],
            cwd=tmp_path, env=os.environ | {"PATH": path}, capture_output=True, text=True,
        )  # fmt: skip
        assert done.returncode == 0, f"{where} {what}: {done.stdout[-1500:]}{done.stderr[-1500:]}"
        # docs/working-with-it.md: this config chooses no learning rate, so its option moves no other method's
        assert "config/frozen.yaml" not in where or "sweep_learning_rates" not in done.stdout


def arguments_of(line: str) -> tuple[tuple[str, ...], set[str]]:
    """(where it runs, targets) of a snakemake command."""
    words = [word for word in shlex.split(line.split("snakemake", 1)[1])]
    where, targets = [], set()
    while words:
        word = words.pop(0)
        if word in ("--profile", "--configfile"):
            where += [word, words.pop(0)]
        elif word in ("--cores", "--resources", "--config", "--sdm"):
            words.pop(0)
        elif not word.startswith("-") and "NAME" not in word:
            targets.add(word)
    return (() if any("NAME" in w for w in where) else tuple(where)), targets
