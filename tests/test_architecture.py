"""The house: who may import whom, and that no code outside the objectives asks which method or scale is running."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
SOURCE = ROOT / "src" / "intro"
# a room imports from its own floor and from those below it
FLOORS = [
    {"types", "config", "infra", "experiments", "sources"},
    {"objectives", "model", "rollout", "tasks"},
    {"library", "training", "pretraining", "evaluation", "analysis", "theory", "cost", "doctor", "rehearsal"},
    {"cli"},
]
FLOOR = {room: number for number, rooms in enumerate(FLOORS) for room in rooms}
MODULES = sorted(p for p in SOURCE.rglob("*.py") if p != SOURCE / "__init__.py")


def module_of(path: Path) -> str:
    parts = path.relative_to(SOURCE.parent).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def imports_of(path: Path, also_for_types: bool = True) -> Iterator[str]:
    """Dotted names that a file imports anywhere, inside functions too; `from a import b` counts as a.b."""
    tree = ast.parse(path.read_text())
    skipped: set[ast.AST] = set()
    if not also_for_types:
        for node in ast.walk(tree):
            if isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING":
                skipped |= set(ast.walk(node))
    for node in ast.walk(tree):
        if node in skipped:
            continue
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: relative import"
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def room_of(name: str) -> str | None:
    parts = name.split(".")
    return parts[1] if parts[0] == "intro" and len(parts) > 1 else None


def test_every_room_has_a_floor() -> None:
    """A new room must be given its place here."""
    rooms = {module_of(p).split(".")[1] for p in MODULES}
    assert rooms == set(FLOOR)


@pytest.mark.parametrize("path", MODULES, ids=module_of)
def test_imports_point_downwards(path: Path) -> None:
    """cli -> training, evaluation, analysis, theory -> objectives, lm, tasks -> the ground floor."""
    mine = module_of(path).split(".")[1]
    for name in imports_of(path):
        if (room := room_of(name)) is not None:
            assert FLOOR[room] <= FLOOR[mine], f"{mine} imports {name}"


def of_room(room: str) -> list[Path]:
    return [p for p in MODULES if module_of(p).split(".")[1] == room]


def test_objectives_see_only_torch_types_and_the_head() -> None:
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
    for path in of_room("objectives"):
        for name in imports_of(path):
            assert any(name == a or name.startswith(f"{a}.") for a in allowed), f"{path.name} imports {name}"


def test_analysis_never_imports_torch() -> None:
    """Neither itself nor through what it imports: tables and figures need no GPU machine's packages."""
    for path in of_room("analysis"):
        for name in imports_of(path):
            assert name.split(".")[0] not in ("torch", "transformers", "tokenizers"), f"{path.name} imports {name}"
            assert room_of(name) not in ("training", "evaluation", "lm", "objectives"), f"{path.name} imports {name}"
    names = [module_of(p) for p in of_room("analysis")]
    code = f"import sys, importlib; [importlib.import_module(n) for n in {names}]; print('torch' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"


def test_theory_and_objectives_do_not_know_each_other() -> None:
    """They are joined by numbers in a test, so neither can copy the other's mistake."""
    for room, other in (("theory", {"objectives", "lm", "training"}), ("objectives", {"theory"})):
        for path in of_room(room):
            assert not {room_of(n) for n in imports_of(path)} & other, path


def test_types_and_config_are_light() -> None:
    """Torch is named in the ground floor for annotations, or inside a function that makes tensors."""
    for room in FLOORS[0]:
        for path in of_room(room):
            heavy = {n.split(".")[0] for n in imports_of(path, also_for_types=False)} & {"torch", "pandas", "numpy"}
            assert not heavy or path.name == "seeds.py", path


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


@pytest.mark.parametrize("path", [p for p in MODULES if "figures" not in p.parts], ids=module_of)
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
