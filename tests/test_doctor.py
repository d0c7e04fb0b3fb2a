"""`intro doctor`: each check passes on a machine that has what a config needs and fails on one that lacks it."""

from __future__ import annotations

import json
import shutil
import socket
import subprocess
import sys
from collections import namedtuple
from contextlib import nullcontext
from pathlib import Path
from threading import Event
from types import SimpleNamespace
from typing import Any

import pytest
import yaml
from typer.testing import CliRunner

from intro import cli, doctor
from intro.config import Config, load, parse, read
from intro.doctor import Finding, Probe
from intro.tasks.graders import sandbox
from intro.types import IntroError
from toy import mapping

CONFIGS = Path(__file__).resolve().parents[1] / "config"
GPU_HARDWARE = {"gpus": 2, "processes": 2, "zero": 2, "dtype": "bfloat16"}
CPU_HARDWARE = {"gpus": 0, "processes": 2, "zero": 1, "dtype": "float32"}


@pytest.fixture(autouse=True)
def isolated(monkeypatch: pytest.MonkeyPatch) -> None:
    """No test uses the network, and none depends on this machine's variables."""

    def refused(*args: Any, **kwargs: Any) -> None:
        raise OSError("no network in tests")

    monkeypatch.setattr(socket, "create_connection", refused)
    for name in ("INTRO_DATA_DIR", "INTRO_MODELS_DIR", "HF_TOKEN", "CXX"):
        monkeypatch.delenv(name, raising=False)


@pytest.fixture
def tiny(tmp_path: Path) -> Config:
    return parse(mapping(tmp_path))


def paper(root: Path, hardware: dict[str, Any] = GPU_HARDWARE, **data: Any) -> Config:
    """The paper's benchmarks and models below `root`, all with the same hardware."""
    settings = read(CONFIGS / "paper.yaml") | {"results": str(root / "results")}
    settings["models"] = {name: entry | {"hardware": hardware} for name, entry in settings["models"].items()}
    settings["data"] |= data
    return parse(settings)


def look(name: str, config: Config) -> Finding | None:
    """The finding of one probe; None where it does not apply."""
    probe = next(probe for probe in doctor.PROBES if probe.name == name)
    return probe.look(config) if probe.applies(config) else None


def status(name: str, config: Config) -> str | None:
    return finding.status if (finding := look(name, config)) else None


def versions(monkeypatch: pytest.MonkeyPatch, **changed: str | None) -> None:
    """Every package at its pin but these, of which None is not installed; names are compared as pip does."""
    pins = {name.lower().replace("_", "-"): version for name, version in (doctor.constraints() | changed).items()}
    monkeypatch.setattr(doctor, "installed", lambda name: pins.get(name.lower().replace("_", "-")))


def modules(monkeypatch: pytest.MonkeyPatch, *names: str) -> None:
    """Pretend that only these modules can be imported."""
    monkeypatch.setattr(doctor, "find_spec", lambda name: object() if name in names else None)


def programs(monkeypatch: pytest.MonkeyPatch, *names: str) -> None:
    """Pretend that only these programs are on the path."""
    monkeypatch.setattr(shutil, "which", lambda name: name if name in names else None)


# ---------------------------------------------------------------- Python and its packages


def test_python(tiny: Config, monkeypatch: pytest.MonkeyPatch) -> None:
    assert status("Python", tiny) == "ok"
    monkeypatch.setattr(sys, "version_info", namedtuple("V", "major minor micro")(3, 10, 2))
    finding = look("Python", tiny)
    assert finding.fails and finding.found == "3.10.2" and "3.11" in finding.fix


def test_packages(tiny: Config, monkeypatch: pytest.MonkeyPatch) -> None:
    """Another version is a warning, a missing requirement fails; extras may be missing."""
    pins = doctor.constraints()
    assert pins["torch"] == "2.13.0" and len(pins) > 50
    versions(monkeypatch)
    assert status("packages", tiny) == "ok"
    versions(monkeypatch, deepspeed=None)
    assert status("packages", tiny) == "ok"
    versions(monkeypatch, torch="2.12.0")
    finding = look("packages", tiny)
    assert finding.status == "warn" and "torch 2.12.0 (pinned 2.13.0)" in finding.found
    versions(monkeypatch, pandas=None)
    finding = look("packages", tiny)
    assert finding.fails and "pandas" in finding.found


def test_local_versions_are_the_same_version(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(doctor.metadata, "version", lambda name: "2.13.0+cu128")
    assert doctor.installed("torch") == "2.13.0"


def test_git(tiny: Config, monkeypatch: pytest.MonkeyPatch) -> None:
    programs(monkeypatch, "git")
    assert status("git", tiny) == "ok"
    programs(monkeypatch)
    assert status("git", tiny) == "warn"


@pytest.mark.parametrize(
    ("snakemake", "plugin", "expected"),
    [("9.27.1", None, "no SLURM plugin"), ("9.27.1", "2.8.0", "SLURM plugin 2.8.0"), (None, None, "not installed")],
)
def test_snakemake(snakemake: Any, plugin: Any, expected: str, tiny: Config, monkeypatch: pytest.MonkeyPatch) -> None:
    versions(monkeypatch, snakemake=snakemake, **{"snakemake-executor-plugin-slurm": plugin})
    finding = look("snakemake", tiny)
    assert expected in finding.found and finding.fails == (snakemake is None)


# ---------------------------------------------------------------- the machine


def machine(monkeypatch: pytest.MonkeyPatch, gpus: int, gigabytes: float = 80, build: str | None = "12.8") -> None:
    monkeypatch.setattr(doctor, "torch_gpus", lambda: (build, [gigabytes * 1e9] * gpus))
    monkeypatch.setattr(doctor, "visible_gpus", lambda: [str(i) for i in range(gpus)])


@pytest.mark.parametrize(
    ("there", "build", "fails", "expected"),
    [
        (4, "12.8", False, "4 of 80 GB, CUDA 12.8"),
        (2, "12.8", True, "4 needed"),
        (0, "12.8", True, "none"),
        (8, None, True, "CPU build"),
    ],
)
def test_gpus(
    there: int, build: Any, fails: bool, expected: str, tmp_path: Path, tiny: Config, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As many as the largest command takes, the judge's four included, and a torch that can use them."""
    assert status("GPUs", tiny) == "ok"
    machine(monkeypatch, there, build=build)
    finding = look("GPUs", paper(tmp_path))
    assert finding.fails == fails and expected in finding.found


def test_gpu_memory(tmp_path: Path, tiny: Config, monkeypatch: pytest.MonkeyPatch) -> None:
    config = paper(tmp_path)
    machine(monkeypatch, 4, 1000)
    assert status("GPU memory", config) == "ok" and look("GPU memory", tiny) is None
    machine(monkeypatch, 4, 24)
    finding = look("GPU memory", config)
    assert finding.fails and "Qwen2.5-7B" in finding.found and "the judge" in finding.found
    machine(monkeypatch, 0)
    assert look("GPU memory", config) is None


def host(monkeypatch: pytest.MonkeyPatch, available: float, total: float) -> None:
    monkeypatch.setattr("psutil.virtual_memory", lambda: SimpleNamespace(available=available, total=total))


@pytest.mark.parametrize(
    ("available", "total", "expected"), [(8e9, 16e9, "ok"), (1e8, 16e9, "warn"), (1e8, 2e8, "FAIL")]
)
def test_memory(available: float, total: float, expected: str, tiny: Config, monkeypatch: pytest.MonkeyPatch) -> None:
    host(monkeypatch, available, total)
    assert status("memory", tiny) == expected


@pytest.mark.parametrize(("free", "expected"), [(1e13, "ok"), (6e11, "warn"), (1e9, "FAIL")])
def test_disk(free: float, expected: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Too little even without the states to resume from fails; too little for both is a warning."""
    monkeypatch.setattr(shutil, "disk_usage", lambda folder: SimpleNamespace(free=free))
    assert status("disk", paper(tmp_path)) == expected


# ---------------------------------------------------------------- training and engines


def test_deepspeed(tmp_path: Path, tiny: Config, monkeypatch: pytest.MonkeyPatch) -> None:
    def imported(code: int, message: str = "") -> None:
        done = subprocess.CompletedProcess([], code, "", message)
        monkeypatch.setattr(doctor, "run", lambda *command: done)

    config = paper(tmp_path)
    assert look("DeepSpeed", tiny) is None
    modules(monkeypatch, "deepspeed")
    imported(0)
    assert status("DeepSpeed", config) == "ok"
    imported(1, "Traceback\nImportError: no such symbol")
    assert look("DeepSpeed", config).fails and "no such symbol" in look("DeepSpeed", config).found
    modules(monkeypatch)
    assert look("DeepSpeed", config).fails and "[gpu]" in look("DeepSpeed", config).fix


def test_compiler(tmp_path: Path, tiny: Config, monkeypatch: pytest.MonkeyPatch) -> None:
    """Only DeepSpeed without GPUs needs one."""
    programs(monkeypatch)
    assert look("C++ compiler", tiny) is None and look("C++ compiler", paper(tmp_path)) is None
    assert look("C++ compiler", paper(tmp_path, CPU_HARDWARE)).fails
    programs(monkeypatch, "g++")
    assert look("C++ compiler", paper(tmp_path, CPU_HARDWARE)) == doctor.ok("g++")


def test_vllm(tmp_path: Path, tiny: Config, monkeypatch: pytest.MonkeyPatch) -> None:
    """Needed here for the models; for the judge in the interpreter that `verifier` names."""
    config = paper(tmp_path, GPU_HARDWARE | {"engine": "vllm"})
    judged_here = config.verifier.model_copy(update={"python": None})
    config = config.model_copy(update={"verifier": judged_here})
    assert look("vLLM", tiny) is None
    modules(monkeypatch, "vllm")
    assert status("vLLM", config) == "ok"
    modules(monkeypatch)
    assert status("vLLM", config) == "FAIL"
    interpreter = tmp_path / "python"
    config = load(CONFIGS / "paper.yaml")
    config = config.model_copy(update={"verifier": config.verifier.model_copy(update={"python": str(interpreter)})})
    assert look("vLLM", config).fails
    for script, expected in (("exit 1", "FAIL"), ("exit 0", "ok")):
        interpreter.write_text(f"#!/bin/sh\n{script}\n")
        interpreter.chmod(0o755)
        assert status("vLLM", config) == expected


# ---------------------------------------------------------------- benchmarks, data and models


def test_sandbox(tmp_path: Path, tiny: Config, monkeypatch: pytest.MonkeyPatch) -> None:
    assert look("sandbox", tiny) is None
    monkeypatch.setattr(sandbox, "available", lambda: None)
    assert status("sandbox", paper(tmp_path)) == "ok"
    monkeypatch.setattr(sandbox, "available", lambda: "no sandbox: not installed")
    assert status("sandbox", paper(tmp_path)) == "FAIL"
    assert status("sandbox", paper(tmp_path, unsandboxed=True)) == "warn"


def test_bigcodebench(tmp_path: Path, tiny: Config) -> None:
    """Asked of the interpreter itself: the usual libraries, and those of the problems once they are made."""
    assert look("BigCodeBench", tiny) is None
    missing = paper(tmp_path, bigcodebench_python=str(tmp_path / "python"))
    assert look("BigCodeBench", missing).fails and "not a Python interpreter" in look("BigCodeBench", missing).found
    problem = {"id": "bigcodebench/0", "benchmark": "bigcodebench", "question": "", "answer": ""}
    folder = paper(tmp_path).results_dir / "problems"
    folder.mkdir(parents=True)
    for library, expected in (("json", ("ok", "ok")), ("no_such_library", ("FAIL", "warn"))):
        (folder / "bigcodebench.jsonl").write_text(json.dumps(problem | {"question": f"import {library}"}) + "\n")
        found = [look("BigCodeBench", paper(tmp_path, bigcodebench_python=python)) for python in (sys.executable, None)]
        assert tuple(finding.status for finding in found) == expected
    assert all("no_such_library" in finding.found for finding in found)


def test_ifeval(tmp_path: Path, tiny: Config, monkeypatch: pytest.MonkeyPatch) -> None:
    def find(resource: str) -> None:
        if not present:
            raise LookupError(resource)

    config = paper(tmp_path)
    assert look("IFEval", tiny) is None
    monkeypatch.setattr("nltk.data.find", find)
    modules(monkeypatch, "lm_eval", "langdetect", "nltk")
    present = True
    assert status("IFEval", config) == "ok"
    present = False
    assert look("IFEval", config).fails and "punkt_tab" in look("IFEval", config).found
    modules(monkeypatch, "lm_eval", "langdetect", "nltk", "punkt")
    assert status("IFEval", config) == "ok"
    modules(monkeypatch, "nltk")
    assert look("IFEval", config).found == "missing: lm_eval, langdetect"


def test_mirror(tmp_path: Path, tiny: Config, monkeypatch: pytest.MonkeyPatch) -> None:
    """A file per set; a sample may lack MATH's test part; the variable takes precedence over the config."""
    folder = tmp_path / "mirror"
    config = paper(tmp_path, mirror=str(folder))
    assert look("mirror", tiny) is None and look("mirror", paper(tmp_path)) is None
    assert look("mirror", config).fails and "no such folder" in look("mirror", config).found
    folder.mkdir()
    *files, last = [f"{published.name}.jsonl" for published in doctor.published_sets(config)]
    for file in files:
        (folder / file).touch()
    finding = look("mirror", config)
    assert finding.fails and finding.found.endswith(f"lacks {last}")
    assert status("mirror", paper(tmp_path, mirror=str(folder), sample=True)) == "ok"
    (folder / last).touch()
    monkeypatch.setenv("INTRO_DATA_DIR", str(folder))
    assert status("mirror", paper(tmp_path, mirror="elsewhere")) == "ok"


def test_hub(tmp_path: Path, tiny: Config, monkeypatch: pytest.MonkeyPatch) -> None:
    """Checked only where data come from it; a gated set needs a token."""
    config = paper(tmp_path)
    assert look("Hub", tiny) is None and look("Hub", paper(tmp_path, mirror="somewhere")) is None
    with monkeypatch.context() as patch:
        modules(patch)
        assert look("Hub", config).fails and "[eval]" in look("Hub", config).fix
    monkeypatch.setattr(doctor, "reachable", lambda: False)
    assert look("Hub", config).fails and "INTRO_DATA_DIR" in look("Hub", config).fix
    monkeypatch.setattr(doctor, "reachable", lambda: True)
    assert look("Hub", config).fails and "gpqa" in look("Hub", config).found
    monkeypatch.setenv("HF_TOKEN", "secret-token")
    finding = look("Hub", config)
    assert finding.status == "ok" and "secret-token" not in finding.found


def test_reachable_never_hangs(monkeypatch: pytest.MonkeyPatch) -> None:
    """Refused at once, connected at once, or a name server that does not answer."""
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", False)
    assert doctor.reachable(1.0) is False
    monkeypatch.setattr(socket, "create_connection", lambda *args, **kwargs: nullcontext())
    assert doctor.reachable(1.0) is True
    never = Event()

    def silence(*args: Any, **kwargs: Any) -> None:
        never.wait(30)
        raise OSError

    monkeypatch.setattr(socket, "create_connection", silence)
    assert doctor.reachable(0.05) is False
    never.set()
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    assert doctor.reachable(1.0) is False


def test_models(tmp_path: Path, tiny: Config, monkeypatch: pytest.MonkeyPatch) -> None:
    config = paper(tmp_path)
    assert look("models", tiny) is None
    monkeypatch.setattr(doctor, "reachable", lambda: True)
    finding = look("models", config)
    assert finding.status == "ok" and "0 of 6 are here" in finding.found
    monkeypatch.setattr(doctor, "reachable", lambda: False)
    assert look("models", config).fails
    store = tmp_path / "store"
    monkeypatch.setenv("INTRO_MODELS_DIR", str(store))
    assert look("models", config).fails and str(store) in look("models", config).fix
    for name in [*(m.checkpoint for m in config.models.values()), config.verifier.checkpoint]:
        (store / name).mkdir(parents=True)
        (store / name / "config.json").touch()
    assert look("models", config).found == "all 6 are here"
    settings = config.model_dump(mode="json", exclude_unset=True)
    settings["models"]["Qwen3-4B"]["checkpoint"] = str(tmp_path / "gone")
    finding = look("models", parse(settings))
    assert finding.fails and "gone" in finding.found


# ---------------------------------------------------------------- the whole


def test_a_probe_that_raises_is_a_warning(tiny: Config, monkeypatch: pytest.MonkeyPatch) -> None:
    """The other probes run."""

    def broken(config: Config) -> Finding:
        raise RuntimeError("driver too old\nand more")

    monkeypatch.setattr(doctor, "PROBES", (Probe("GPUs", broken), Probe("Python", doctor.python)))
    findings = doctor.examine(tiny)
    assert (
        findings["GPUs"] == doctor.warn("could not be checked (driver too old)") and findings["Python"].status == "ok"
    )


def test_lines_fit_eighty_columns() -> None:
    """However long a path or a sentence is, as long as it has spaces."""
    text = list(doctor.lines({"BigCodeBench": doctor.fail("word " * 60, "fix " * 40), "git": doctor.ok("installed")}))
    assert max(map(len, text)) <= 80
    assert text[0].startswith("FAIL BigCodeBench   word") and text[-1] == "2 checks: 1 FAIL, 0 warn"


@pytest.mark.parametrize("hardware", [GPU_HARDWARE, CPU_HARDWARE])
def test_all_checks_together(hardware: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of a machine without anything, as printed: every check that applies, none broken, exit code 1."""
    config = paper(tmp_path, hardware)
    file = tmp_path / "paper.yaml"
    file.write_text(yaml.safe_dump(config.model_dump(mode="json", exclude_unset=True)))
    modules(monkeypatch)
    machine(monkeypatch, 0, build=None)
    host(monkeypatch, 1e6, 1e6)
    done = CliRunner().invoke(cli.app, ["doctor", "--config", str(file)])
    assert done.exit_code == 1
    assert "could not be checked" not in done.output
    assert max(map(len, done.output.splitlines())) <= 80
    for name in ("GPUs", "memory", "DeepSpeed", "vLLM", "IFEval", "Hub", "models"):
        assert f"FAIL {name} " in done.output


def test_a_machine_for_the_tiny_scale_passes(tiny: Config, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    versions(monkeypatch)
    host(monkeypatch, 8e9, 16e9)
    file = tmp_path / "toy.yaml"
    file.write_text(yaml.safe_dump(mapping(tmp_path)))
    done = CliRunner().invoke(cli.app, ["doctor", "--config", str(file)])
    assert done.exit_code == 0, done.output
    assert "0 FAIL" in done.output


def test_memory_and_disk_warn_about_an_unknown_checkpoint(tmp_path: Path) -> None:
    """Its size is not known; nothing raises."""
    settings = paper(tmp_path).model_dump(mode="json", exclude_unset=True)
    settings["models"]["Qwen3-4B"]["checkpoint"] = "someone/else"
    config = parse(settings)
    with pytest.raises(IntroError):
        look("disk", config)
    findings = doctor.examine(config)
    for name in ("memory", "disk"):
        assert "fetch it first" in findings[name].found and findings[name].status == "warn"
