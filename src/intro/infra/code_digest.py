"""A digest of the code that decides a result, for the params of rules and the names of scratch folders.

The code behind a command is every module that the command's function in cli.py imports, directly or not. A module is
digested as its syntax tree without docstrings, so a comment, a docstring or the formatting changes no digest. Another
minor version of Python has other syntax trees and so other digests.
"""

from __future__ import annotations

import ast
import hashlib
from collections.abc import Iterator
from functools import cache
from pathlib import Path

from intro.infra.digests import digest
from intro.types import IntroError

PACKAGE = Path(__file__).resolve().parents[1]
DOCUMENTED = ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef
# These decide no result. Config and experiment list reach a rule as its params and file names, infra only writes files
# (but for seeds), and the registry of objectives names all methods: a run adds the module of its own
NEUTRAL = {
    *("intro.config", "intro.experiments", "intro.objectives"),
    *("intro.infra.code_digest", "intro.infra.digests", "intro.infra.files"),
    *("intro.infra.gpus", "intro.infra.provenance"),
}
# Left out of everything but grading: a corrected grader grades again what was generated and trains nothing again, which
# may be a week of GPUs. A run keeps the reward that it was trained with; the commit in its record says which that was
GRADERS = "intro.tasks.graders"


@cache
def code_of(command: str, *more: str, without: str | None = GRADERS) -> str:
    """Digest of the code behind an `intro` command and of `more` modules.

    `without` names a package whose modules are left out, together with what only they import. Raises IntroError for a
    command or a module that does not exist.
    """
    return digest({name: _tree(name)[0] for name in modules_of(command, *more, without=without)})


def training_code(method: object) -> str:
    """Digest of the code that decides a training run with this method, an entry of the config."""
    return code_of("train", module_of(method))


def module_of(method: object) -> str:
    """The module that holds a method's options and objective, for `code_of`."""
    return type(method).__module__


def modules_of(command: str, *more: str, without: str | None = GRADERS) -> list[str]:
    """Names of the modules that `code_of` digests, in alphabetical order."""
    found: set[str] = set()
    pending = [*_of_command(command), *more]
    while pending:
        name = pending.pop()
        if name not in found and name not in NEUTRAL and not f"{name}.".startswith(f"{without}."):
            found.add(name)
            pending += _tree(name)[1]
    return sorted(found)


@cache
def _of_command(command: str) -> tuple[str, ...]:
    """The modules that the command's function in cli.py imports."""
    tree = ast.parse((PACKAGE / "cli.py").read_text())
    for node in tree.body:
        if isinstance(node, ast.FunctionDef) and node.name == command.replace("-", "_"):
            return tuple(_imports(node))
    raise IntroError(f"cli.py: expected a function for the command `intro {command}`, found none")


@cache
def _tree(name: str) -> tuple[str, tuple[str, ...]]:
    """Digest of a module, and the modules of this package that it imports."""
    path = _path(name)
    if path is None:
        raise IntroError(f"{name}: expected a module below {PACKAGE}, found none")
    tree = ast.parse(path.read_bytes())
    imported = tuple(_imports(tree))
    for node in _statements(tree):
        if isinstance(node, DOCUMENTED) and ast.get_docstring(node, clean=False) is not None:
            del node.body[0]
    return hashlib.sha256(ast.dump(tree).encode()).hexdigest(), imported


def _path(name: str) -> Path | None:
    """The file of a module, or a package's __init__.py; None where there is no such module."""
    base = PACKAGE.parent.joinpath(*name.split("."))
    return next((path for path in (base.with_suffix(".py"), base / "__init__.py") if path.is_file()), None)


def _imports(tree: ast.AST) -> Iterator[str]:
    """Modules of this package that are imported anywhere below `tree`, inside functions too."""
    for node in _statements(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names if alias.name.split(".")[0] == PACKAGE.name)
        elif isinstance(node, ast.ImportFrom) and (node.module or "").split(".")[0] == PACKAGE.name:
            yield from (_home(node.module, alias.name) for alias in node.names)


def _statements(tree: ast.AST) -> Iterator[ast.AST]:
    """`tree` and all statements below it, but for those below `if TYPE_CHECKING:`, which never run."""
    pending = [tree]
    while pending:
        node = pending.pop()
        yield node
        # the other branch of `if TYPE_CHECKING:` is the one that runs
        for_types = isinstance(node, ast.If) and getattr(node.test, "id", None) == "TYPE_CHECKING"
        for part in ("body", "orelse", "handlers", "finalbody", "cases"):
            if not (for_types and part == "body"):
                pending += getattr(node, part, ())


def _home(module: str, name: str) -> str:
    """The module where `from module import name` finds it: a submodule, or what a package takes the name from."""
    if _path(f"{module}.{name}"):
        return f"{module}.{name}"
    path = _path(module)
    if path and path.name == "__init__.py":
        for node in ast.parse(path.read_bytes()).body:
            if isinstance(node, ast.ImportFrom) and name in {alias.asname or alias.name for alias in node.names}:
                return _home(node.module, name)
    return module
