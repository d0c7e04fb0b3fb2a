"""pyproject.toml, constraints.txt and environment.yml describe one environment."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from importlib import metadata
from pathlib import Path

import pytest
import yaml
from packaging.requirements import Requirement
from packaging.specifiers import SpecifierSet
from packaging.utils import canonicalize_name
from packaging.version import Version

ROOT = Path(__file__).resolve().parents[1]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
LIBRARY = [Requirement(r) for r in PROJECT["dependencies"]]
OPTIONAL = {
    name: [Requirement(r) for r in extra if r != "intro[pipeline]"]
    for name, extra in PROJECT["optional-dependencies"].items()
}
REQUIRED = [*LIBRARY, *OPTIONAL["pipeline"]]  # what `make reproduce` installs
EXTRAS = [r for name, extra in OPTIONAL.items() if name != "pipeline" for r in extra]
CONSTRAINTS = [
    Requirement(line.split("#")[0])
    for line in (ROOT / "constraints.txt").read_text().splitlines()
    if line.split("#")[0].strip()
]
PINNED = {canonicalize_name(r.name): r for r in CONSTRAINTS}
CONDA = yaml.safe_load((ROOT / "environment.yml").read_text())["dependencies"]
PIP = next(entry["pip"] for entry in CONDA if isinstance(entry, dict))


def pin(requirement: Requirement) -> Version:
    (only,) = requirement.specifier
    assert only.operator == "==", requirement
    return Version(only.version)


def test_torch_is_one_exact_version_everywhere() -> None:
    """Other versions of torch are other random numbers."""
    assert pin(PINNED["torch"]) == Version("2.13.0")
    named = [str(e) for e in [*CONDA, *PIP] if not isinstance(e, dict) and re.match(r"(py)?torch\b", str(e))]
    assert all("2.13.0" in entry for entry in named)


@pytest.mark.parametrize("requirement", [*REQUIRED, *EXTRAS], ids=lambda r: r.name)
def test_every_dependency_is_pinned_within_its_range(requirement: Requirement) -> None:
    """What pyproject allows, constraints.txt fixes; deepspeed and tools included."""
    assert canonicalize_name(requirement.name) in PINNED, "add it to constraints.txt"
    assert pin(PINNED[canonicalize_name(requirement.name)]) in requirement.specifier


def test_every_extra_brings_the_pipeline() -> None:
    """The library alone is for other programs; whoever installs an extra wants the command `intro` with it."""
    for name, extra in PROJECT["optional-dependencies"].items():
        assert name == "pipeline" or "intro[pipeline]" in extra, name


def test_the_library_imports_with_the_base_dependencies_alone() -> None:
    """`from intro import ...` needs no package of an extra, directly or through what it imports."""
    names = {canonicalize_name(r.name) for r in [*REQUIRED, *EXTRAS]} - {canonicalize_name(r.name) for r in LIBRARY}
    # torch imports sympy, transformers the tokenizers: what the base dependencies bring is there
    blocked = sorted(name.replace("-", "_") for name in names - set(_needed(LIBRARY)))
    assert {"snakemake", "pandas", "scipy", "matplotlib"} <= set(blocked)
    code = f"""
import sys
for name in {blocked}:
    sys.modules[name] = None
from intro import intro_loss, token_logprobs
from intro.model.load import load_model
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


def test_constraints_are_exact_and_once_each() -> None:
    assert len(PINNED) == len(CONSTRAINTS)
    for requirement in CONSTRAINTS:
        pin(requirement)


def _needed(requirements: list[Requirement]) -> Iterator[str]:
    """Names of these packages and of all that they need, but for the GPU libraries that torch brings itself."""
    seen, pending = set(), [r.name for r in requirements]
    while pending:
        name = canonicalize_name(pending.pop())
        if name in seen or re.match(r"nvidia|cuda|triton", name):
            continue
        seen.add(name)
        yield name
        for line in metadata.requires(name) or []:
            needed = Requirement(line)
            if needed.marker is None or needed.marker.evaluate({"extra": ""}):
                pending.append(needed.name)


@pytest.mark.parametrize("requirement", REQUIRED, ids=lambda r: r.name)
def test_indirect_dependencies_are_pinned_too(requirement: Requirement) -> None:
    """Also what the dependencies need, but for the GPU libraries that torch brings itself."""
    assert set(_needed([requirement])) <= set(PINNED), "add what is missing to constraints.txt"


def test_conda_installs_the_package_with_the_same_pins() -> None:
    """One more way to the same environment: pip inside conda, with the constraints file."""
    assert "-c constraints.txt" in PIP
    assert any(re.fullmatch(r"(-e|--editable) \.(\[[a-z,]+\])?", entry) for entry in PIP)
    assert "pip" in CONDA
    (python,) = [e for e in CONDA if isinstance(e, str) and e.startswith("python")]
    assert Version(python.split("=")[-1]) in SpecifierSet(PROJECT["requires-python"])


def test_makefile_installs_with_the_same_pins() -> None:
    install = [line for line in (ROOT / "Makefile").read_text().splitlines() if "pip install" in line]
    assert install and all("-c constraints.txt" in line for line in install)


# ---------------------------------------------------------------- conda, which the test replaces by a stub

# Answers what Snakemake asks of conda. A new environment's interpreter lets pip resolve what it is asked to install,
# and leaves out what needs a network: other packages, and the installation itself.
STUB = """#!/bin/sh
case "$1" in
  --version) echo "conda 24.9.2" ;;
  info) echo '{{"conda_prefix": "{home}", "platform": "linux-64"}}' ;;
  config) echo '{{"get": {{"channel_priority": "strict"}}}}' ;;
  env)
    for word in "$@"; do before=$last; last=$word; [ "$before" = --prefix ] && prefix=$word; done
    mkdir -p "$prefix/bin"
    printf '%s\\n' '#!/bin/sh' 'echo "$PWD $*" >> "{home}/calls"' > "$prefix/bin/python"
    printf '%s\\n' 'exec "{python}" "$@" {offline}' >> "$prefix/bin/python"
    chmod +x "$prefix/bin/python" ;;
esac
"""
OFFLINE = ["--dry-run", "--no-deps", "--no-index", "--no-build-isolation"]


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What a clone holds, as far as environments and the parsing of the workflow need it."""
    folder = tmp_path_factory.mktemp("project")
    for name in ("Snakefile", "environment.yml", "pyproject.toml", "constraints.txt", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, folder)
    for name in ("workflow", "config", "profiles", "src"):
        shutil.copytree(ROOT / name, folder / name, ignore=shutil.ignore_patterns("__pycache__", "*.egg-info"))
    return folder


def test_snakemake_builds_the_environment_of_the_rules(project: Path) -> None:
    """Snakemake copies the yaml into a folder of its own; the post-deploy script installs the project."""
    home = project / "conda"
    (home / "bin").mkdir(parents=True)
    stub, activate = home / "bin/conda", home / "bin/activate"
    stub.write_text(STUB.format(home=home, python=sys.executable, offline=" ".join(OFFLINE)))
    stub.chmod(0o755)
    activate.write_text('export PATH="$1/bin:$PATH"\n')
    paths = [str(stub.parent), str(Path(sys.executable).parent), os.environ["PATH"]]
    command = ["snakemake", "results/tiny/theory/identities.json", "--sdm", "conda", "--conda-create-envs-only"]
    done = subprocess.run(
        [*command, "--cores", "1"],
        cwd=project,
        env=os.environ | {"PATH": os.pathsep.join(paths)},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    (environment,) = (project / ".snakemake/conda").glob("*.yaml")
    dependencies = yaml.safe_load(environment.read_text())["dependencies"]
    assert all(isinstance(entry, str) for entry in dependencies)  # no pip section: a copy has no project beside it
    (call,) = (home / "calls").read_text().splitlines()
    assert call.startswith(f"{project} -m pip install") and "-c constraints.txt -e .[" in call


def test_conda_finds_the_project_beside_environment_yml(project: Path, tmp_path: Path) -> None:
    """conda writes the pip section into a requirements file beside the yaml and runs pip in that folder."""
    requirements = project / "condaenv.requirements.txt"
    requirements.write_text("\n".join(PIP))
    command = [sys.executable, "-m", "pip", "install", *OFFLINE, "-r", str(requirements)]
    done = subprocess.run(command, cwd=project, capture_output=True, text=True)
    assert done.returncode == 0 and "Would install intro-" in done.stdout, done.stdout + done.stderr
