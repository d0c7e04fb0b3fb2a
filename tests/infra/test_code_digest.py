"""The digest of a command's code sees what decides its result, and nothing else."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from functools import cache
from pathlib import Path

import pytest

from intro.config import load
from intro.infra import code_digest
from intro.infra.code_digest import GRADERS, code_of, module_of, modules_of, training_code
from intro.types import IntroError

ROOT = Path(__file__).resolve().parents[2]
METHODS = load(ROOT / "config/paper.yaml").methods


def forget() -> None:
    for cached in (code_digest.code_of, code_digest._of_command, code_digest._tree):
        cached.cache_clear()


@pytest.fixture
def package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A copy of the package, whose code is digested in place of the installed one."""
    copy = tmp_path / "intro"
    shutil.copytree(code_digest.PACKAGE, copy, ignore=shutil.ignore_patterns("__pycache__"))
    monkeypatch.setattr(code_digest, "PACKAGE", copy)
    forget()
    yield copy
    forget()


@pytest.fixture
def small(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., list[str]]:
    """Writes a package of these files; returns the modules behind the command `run`."""
    folder = tmp_path / "intro"

    def modules(**files: str) -> list[str]:
        for name, text in files.items():
            path = folder / f"{name.replace('__', '/')}.py"
            path = path.with_name("__init__.py") if path.stem == "init" else path
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text)
        monkeypatch.setattr(code_digest, "PACKAGE", folder)
        forget()
        return [name.removeprefix("intro.") for name in modules_of("run")]

    yield modules
    forget()


def digests() -> dict[str, str]:
    """Digests of several commands, and of training with each method, of the code as it is now."""
    forget()
    found = {command: code_of(command) for command in ("data", "generate", "table", "theory")}
    found["grade"] = code_of("grade", without=None)
    return found | {name: training_code(method) for name, method in METHODS.items()}


def changed(file: Path, text: str) -> set[str]:
    """The digests that are others than those of the package as it is, after another content of a file."""
    before = unchanged()
    file.write_text(text)
    return {name for name, value in digests().items() if value != before[name]}


@cache
def unchanged() -> dict[str, str]:
    """Digests of the code before any edit; the first edit asks for them, and each test has a copy of its own."""
    return digests()


def test_comments_docstrings_and_formatting_change_nothing(package: Path) -> None:
    for name in ("objectives/intro.py", "training/loop.py", "tasks/registry.py", "types.py"):
        file = package / name
        text = file.read_text().replace('"""\n', ' Edited."""\n').replace("\n\n\n", "\n\n\n\n# a comment\n\n")
        assert text != file.read_text() and changed(file, text) == set()


def test_an_objective_changes_the_runs_of_its_method_alone(package: Path) -> None:
    file = package / "objectives/grpo.py"
    assert changed(file, file.read_text() + "\nX = 1\n") == {"grpo"}


def test_shared_code_of_the_objectives_changes_all_runs(package: Path) -> None:
    file = package / "objectives/base.py"
    assert changed(file, file.read_text() + "\nX = 1\n") == set(METHODS)


def test_a_grader_changes_grading_alone(package: Path) -> None:
    file = package / "tasks/graders/mathematics.py"
    assert changed(file, file.read_text() + "\nX = 1\n") == {"grade"}


def test_a_proof_changes_the_theory_alone(package: Path) -> None:
    file = package / "theory/equation_7.py"
    assert changed(file, file.read_text() + "\nX = 1\n") == {"theory"}


def test_config_and_command_line_change_nothing(package: Path) -> None:
    """What a rule depends on in the config is among its params."""
    for name in ("config.py", "cli.py", "experiments.py", "infra/provenance.py"):
        file = package / name
        assert changed(file, file.read_text() + "\nX = 1\n") == set()


def test_the_code_of_a_run_holds_no_other_method() -> None:
    files = {module_of(method) for method in METHODS.values()}
    assert len(files) == len(METHODS)
    assert not files & set(modules_of("train"))
    for module in files:
        assert files & set(modules_of("train", module)) == {module}


def test_imports_inside_functions_are_followed() -> None:
    """DeepSpeed's backend, the Triton kernels and other engines are imported where they are needed."""
    assert {"intro.training.backends.deepspeed", "intro.model.kernels.triton_kernels"} <= set(modules_of("train"))
    assert "intro.rollout.vllm" in modules_of("generate")


def test_graders_are_behind_grading_alone() -> None:
    assert any(name.startswith(GRADERS) for name in modules_of("grade", without=None))
    for command in ("data", "train", "sweep", "generate", "posterior", "cost"):
        assert not any(name.startswith(GRADERS) for name in modules_of(command)), command


def test_every_kind_of_import_is_followed(small: Callable[..., list[str]]) -> None:
    """A name that a package takes from one of its modules stands for that module."""
    found = small(
        cli="def run():\n    from intro.a import f\n    from intro.p import g, h\n",
        a="import intro.b\nfrom intro import c\nf = 1\n",
        b="try:\n    import intro.d\nexcept ImportError:\n    pass\n",
        c="def late():\n    if True:\n        from intro import e\n",
        d="",
        e="class Late:\n    from intro.q import j\n",
        p__init="from intro.p.inner import g\nfrom intro.p.other import unused\nh = 2\n",
        p__inner="g = 1\n",
        p__other="unused = 1\n",
        q__init="from intro.q.home import i as j\n",
        q__home="i = 1\n",
    )
    # p itself defines h, so all that it imports counts too
    assert found == ["a", "b", "c", "d", "e", "p", "p.inner", "p.other", "q.home"]


def test_imports_for_annotations_are_not_followed(small: Callable[..., list[str]]) -> None:
    found = small(
        cli="def run():\n    from intro import a\n",
        a="if TYPE_CHECKING:\n    from intro import b\nelse:\n    from intro import c\n",
        b="",
        c="",
    )
    assert found == ["a", "c"]


def test_modules_that_import_each_other_are_digested_once(small: Callable[..., list[str]]) -> None:
    assert small(cli="def run():\n    import intro.a\n", a="import intro.b\n", b="import intro.a\n") == ["a", "b"]


def test_an_unknown_command_is_an_error() -> None:
    with pytest.raises(IntroError, match="expected a function for the command `intro bake`"):
        code_of("bake")


def test_a_missing_module_is_an_error() -> None:
    with pytest.raises(IntroError, match=r"intro\.objectives\.cake: expected a module below"):
        code_of("train", "intro.objectives.cake")
