"""The import rule at file level, and that no code outside the objectives asks which method or scale is running."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
from collections.abc import Iterator
from functools import cache
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import pytest

import intro

ROOT = Path(__file__).resolve().parents[1]
SOURCE = ROOT / "src" / "intro"
# a package or top-level module imports from its own layer and from those before it
LAYERS = [
    {"types", "config", "infra", "experiments", "sources"},
    {"objectives", "model", "rollout", "tasks"},
    {"library", "training", "pretraining", "evaluation", "analysis", "theory", "cost", "doctor", "rehearsal"},
    {"cli"},
]
LAYER = {package: number for number, packages in enumerate(LAYERS) for package in packages}
FILES = sorted(p for p in SOURCE.rglob("*.py") if p != SOURCE / "__init__.py")


def module_of(path: Path) -> str:
    parts = path.relative_to(SOURCE.parent).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def package_of(name: str) -> str | None:
    """The package or top-level module below `intro` that a dotted name belongs to; None outside this project, and for
    what `intro/__init__.py` defines."""
    parts = name.split(".")
    return parts[1] if parts[0] == "intro" and len(parts) > 1 and parts[1] not in intro.__all__ else None


@cache
def imports_of(path: Path, also_for_types: bool = True) -> tuple[str, ...]:
    """Dotted names that a file imports anywhere, inside functions too; `from a import b` counts as a.b."""
    tree = ast.parse(path.read_text())
    skipped: set[ast.AST] = set()
    if not also_for_types:
        for node in ast.walk(tree):
            if isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING":
                skipped |= set(ast.walk(node))
    names: list[str] = []
    for node in ast.walk(tree):
        if node in skipped:
            continue
        if isinstance(node, ast.Import):
            names += [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: relative import"
            names += [f"{node.module}.{alias.name}" for alias in node.names]
    return tuple(names)


def import_graph(files: dict[str, Path]) -> dict[str, set[str]]:
    """Module -> the modules of this project that its file imports; type annotations' imports count too."""
    graph: dict[str, set[str]] = {}
    for module, path in files.items():
        # `from intro.a import b` names the module intro.a.b, or something that intro.a defines
        targets = {name if name in files else name.rpartition(".")[0] for name in imports_of(path)}
        graph[module] = {target for target in targets if target in files and target != module}
    return graph


def circle_of(graph: dict[str, set[str]]) -> list[str]:
    """One circle of imports, or nothing."""
    try:
        TopologicalSorter(graph).prepare()
    except CycleError as error:
        return error.args[1]
    return []


def test_every_package_has_a_layer() -> None:
    """A new package must be given its place here."""
    assert {package_of(module_of(p)) for p in FILES} == set(LAYER)


@pytest.mark.parametrize("path", FILES, ids=module_of)
def test_imports_point_downwards(path: Path) -> None:
    """cli -> training, evaluation, analysis, cost, theory -> objectives, rollout, model, tasks -> the ground floor."""
    mine = package_of(module_of(path))
    for name in imports_of(path):
        if (package := package_of(name)) is not None:
            assert LAYER[package] <= LAYER[mine], f"{mine} imports {name}"


def test_no_file_imports_in_a_circle() -> None:
    """Files can be read in one order, each after what it uses; imports for annotations are uses."""
    assert circle_of(import_graph({module_of(p): p for p in FILES})) == []


def test_no_package_imports_in_a_circle() -> None:
    """Packages, and the folders of a package, have an order too."""
    for depth in (2, 3):
        graph: dict[str, set[str]] = {}
        for module, targets in import_graph({module_of(p): p for p in FILES}).items():
            mine = ".".join(module.split(".")[:depth])
            others = {".".join(target.split(".")[:depth]) for target in targets}
            graph.setdefault(mine, set()).update(others - {mine})
        assert circle_of(graph) == []


def test_circles_are_found(tmp_path: Path) -> None:
    """Between files, through a third one, and in imports that are for annotations only."""
    texts = {
        "intro.a": "from intro import b",
        "intro.b": "def f():\n    from intro.c import g",
        "intro.c": "from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    from intro.a import h",
    }
    files = {name: tmp_path / f"{name}.py" for name in texts}
    for name, text in texts.items():
        files[name].write_text(text)
    assert set(circle_of(import_graph(files))) == set(texts)
    files["intro.c"] = tmp_path / "without.py"
    files["intro.c"].write_text("import intro.d")
    assert circle_of(import_graph(files)) == []


def files_of(package: str) -> list[Path]:
    return [p for p in FILES if package_of(module_of(p)) == package]


def test_objectives_see_only_torch_types_and_logprobs() -> None:
    """A method is mathematics: no files, no models, no tokenizer."""
    allowed = (
        "math",
        "torch",
        "intro.types",
        "intro.config",
        "intro.model.logprobs",
        "intro.objectives",
        "pydantic",
        *("abc", "dataclasses", "importlib", "inspect", "pkgutil", "typing", "__future__"),
    )
    for path in files_of("objectives"):
        for name in imports_of(path):
            assert any(name == a or name.startswith(f"{a}.") for a in allowed), f"{path.name} imports {name}"


def test_analysis_never_imports_torch() -> None:
    """Neither itself nor through what it imports: tables and figures need no GPU machine's packages."""
    above = {"training", "pretraining", "evaluation", "objectives", "model", "rollout"}
    for path in files_of("analysis"):
        for name in imports_of(path):
            assert name.split(".")[0] not in ("torch", "transformers", "tokenizers"), f"{path.name} imports {name}"
            assert package_of(name) not in above, f"{path.name} imports {name}"
    names = [module_of(p) for p in files_of("analysis")]
    code = f"import sys, importlib; [importlib.import_module(n) for n in {names}]; print('torch' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"


def test_theory_and_objectives_do_not_import_each_other() -> None:
    """Tests join them by numbers, so neither can copy the other's mistake."""
    for package, other in (("theory", {"objectives", "model", "rollout", "training"}), ("objectives", {"theory"})):
        for path in files_of(package):
            assert not {package_of(n) for n in imports_of(path)} & other, path


def test_types_and_config_are_light() -> None:
    """Torch is named in the ground floor for annotations, or inside a function that makes tensors."""
    for package in LAYERS[0]:
        for path in files_of(package):
            heavy = {n.split(".")[0] for n in imports_of(path, also_for_types=False)} & {"torch", "pandas", "numpy"}
            assert not heavy or path.name == "seeds.py", path


def test_tests_mirror_the_source() -> None:
    """A folder of tests for each package, and none for what does not exist."""
    packages = {p.name for p in SOURCE.iterdir() if p.is_dir() and (p / "__init__.py").is_file()}
    folders = {p.name for p in (ROOT / "tests").iterdir() if p.is_dir() and not p.name.startswith(("_", "."))}
    assert folders - {"support", "benchmarks"} == packages


# ---------------------------------------------------------------- no switch over methods or scales

# an evaluated cell that was never trained is named "base": not a method, but the lack of one
NOT_A_METHOD = {"base"}
ASKED = {"method", "objective", "scale"}


def named(node: ast.expr) -> str | None:
    """The last name of `method`, `cell.method` or `frame["method"]`."""
    if isinstance(node, ast.Subscript):
        node = node.slice
    return getattr(node, "id", None) or getattr(node, "attr", None) or getattr(node, "value", None)


def constants(node: ast.expr) -> set[str]:
    """The strings of "a" or ("a", "b")."""
    parts = node.elts if isinstance(node, ast.Tuple | ast.List | ast.Set) else [node]
    return {n.value for n in parts if isinstance(n, ast.Constant) and isinstance(n.value, str)}


def asks(node: ast.expr) -> bool:
    return not isinstance(node, ast.Constant) and named(node) in tuple(ASKED)


def switches(path: Path) -> Iterator[str]:
    """Comparisons and match statements of something called method, objective or scale with a fixed name."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Compare):
            sides = [node.left, *node.comparators]
            if any(asks(s) for s in sides):
                fixed = set().union(*(constants(s) for s in sides)) - NOT_A_METHOD
                if fixed:
                    yield f"{path.name}:{node.lineno}: {ast.unparse(node)}"
        elif isinstance(node, ast.Match) and asks(node.subject):
            yield f"{path.name}:{node.lineno}: match {ast.unparse(node.subject)}"


@pytest.mark.parametrize("path", [p for p in FILES if "figures" not in p.parts], ids=module_of)
def test_no_code_asks_which_method_or_scale_runs(path: Path) -> None:
    """A method is its file in objectives/, a scale its config. Figures may pick a method out to draw it."""
    assert list(switches(path)) == []


def test_switches_are_found(tmp_path: Path) -> None:
    """The search above sees what it looks for."""
    file = tmp_path / "a.py"
    file.write_text(
        'if method == "intro" or cell.scale in ("tiny", "paper"):\n    pass\nmatch objective:\n    case 1: pass'
    )
    assert len(list(switches(file))) == 3
    file.write_text('frame[frame["method"] == "grpo"]')
    assert len(list(switches(file))) == 1
    file.write_text('if cell.method == "base" or method in chosen["tuned"] or model == "m":\n    pass')
    assert list(switches(file)) == []


def test_the_workflow_asks_neither() -> None:
    """Rules get their differences from the config."""
    files = [ROOT / "Snakefile", *(ROOT / "workflow").rglob("*.smk")]
    assert len(files) > 5
    for file in files:
        found = re.findall(r"\b(?:method|scale|objective)[\"'\]]*\s*(?:==|!=|(?:not )?in [\[({])", file.read_text())
        assert not found, f"{file}: {found}"
