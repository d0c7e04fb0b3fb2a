"""`intro doctor`: each check passes on a machine that has what a config needs and fails on one that lacks it."""

from __future__ import annotations

import json
import shutil
import socket
import subprocess
import sys
from collections import namedtuple
from contextlib import nullcontext
from dataclasses import dataclass, field
from pathlib import Path
from threading import Event
from types import SimpleNamespace
from typing import Any

import pytest
import yaml
from typer.testing import CliRunner

from intro import cli, doctor
from intro.config import Config, parse, read
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


def paper(root: Path, hardware: dict[str, Any] = GPU_HARDWARE, judge_python: Any = "judge", **data: Any) -> Config:
    """The paper's benchmarks and models below `root`, all with the same hardware."""
    settings = read(CONFIGS / "paper.yaml") | {"results": str(root / "results")}
    settings["models"] = {name: entry | {"hardware": hardware} for name, entry in settings["models"].items()}
    settings["verifier"]["python"] = judge_python
    settings["data"] |= data
    return parse(settings)


@dataclass(frozen=True)
class Machine:
    """What the probes see. The defaults have everything that a config can need."""

    python: tuple[int, int, int] = (3, 11, 7)
    versions: dict[str, str | None] = field(default_factory=dict)  # package -> version, instead of its pin
    programs: tuple[str, ...] = ("git", "g++")  # on the path
    modules: tuple[str, ...] = ("deepspeed", "vllm", "lm_eval", "langdetect", "nltk", "datasets")
    deepspeed: tuple[int, str] = (0, "")  # exit code and message of importing it
    build: str | None = "12.8"
    gpus: int = 8
    gpu_gb: float = 1000
    available: float = 1e12
    total: float = 1e12
    free: float = 1e13  # of the disk
    sandbox: str | None = None  # what it lacks
    punkt: bool = True
    hub: bool = True
    token: bool = True

    def install(self, monkeypatch: pytest.MonkeyPatch) -> None:
        def find(resource: str) -> None:
            if not self.punkt:
                raise LookupError(resource)

        pins = {canonical(name): version for name, version in (doctor.constraints() | self.versions).items()}
        done = subprocess.CompletedProcess([], *self.deepspeed[:1], "", self.deepspeed[1])
        host = SimpleNamespace(available=self.available, total=self.total)
        monkeypatch.setattr(sys, "version_info", namedtuple("V", "major minor micro")(*self.python))
        monkeypatch.setattr(doctor, "installed", lambda name: pins.get(canonical(name)))
        monkeypatch.setattr(shutil, "which", lambda name: name if name in self.programs else None)
        monkeypatch.setattr(doctor, "find_spec", lambda name: object() if name in self.modules else None)
        monkeypatch.setattr(doctor, "run", lambda *command: done)
        monkeypatch.setattr(doctor, "torch_gpus", lambda: (self.build, [self.gpu_gb * 1e9] * self.gpus))
        monkeypatch.setattr(doctor, "visible_gpus", lambda: [str(i) for i in range(self.gpus)])
        monkeypatch.setattr("psutil.virtual_memory", lambda: host)
        monkeypatch.setattr(shutil, "disk_usage", lambda folder: SimpleNamespace(free=self.free))
        monkeypatch.setattr(sandbox, "available", lambda: self.sandbox)
        monkeypatch.setattr("nltk.data.find", find)
        monkeypatch.setattr(doctor, "reachable", lambda: self.hub)
        if self.token:
            monkeypatch.setenv("HF_TOKEN", "secret-token")


def canonical(name: str) -> str:
    return name.lower().replace("_", "-")


def look(name: str, config: Config) -> Finding | None:
    """The finding of one probe; None where it does not apply."""
    probe = next(probe for probe in doctor.PROBES if probe.name == name)
    return probe.look(config) if probe.applies(config) else None


def status(name: str, config: Config) -> str | None:
    return finding.status if (finding := look(name, config)) else None


# probe, what the machine lacks, what the config changes, status, and words of the finding or its fix
CASES = [
    ("Python", {}, {}, "ok", ("3.11.7",)),
    ("Python", {"python": (3, 10, 2)}, {}, "FAIL", ("3.10.2", "3.11")),
    ("packages", {}, {}, "ok", ()),
    ("packages", {"versions": {"deepspeed": None}}, {}, "ok", ()),  # of an extra
    ("packages", {"versions": {"torch": "2.12.0"}}, {}, "warn", ("torch 2.12.0 (pinned 2.13.0)",)),
    ("packages", {"versions": {"numpy": None}}, {}, "FAIL", ("numpy",)),
    ("git", {}, {}, "ok", ()),
    ("git", {"programs": ()}, {}, "warn", ()),
    ("snakemake", {"versions": {"snakemake-executor-plugin-slurm": None}}, {}, "ok", ("no SLURM plugin",)),
    ("snakemake", {"versions": {"snakemake-executor-plugin-slurm": "2.8.0"}}, {}, "ok", ("SLURM plugin 2.8.0",)),
    ("snakemake", {"versions": {"snakemake": None}}, {}, "FAIL", ()),
    ("GPUs", {"gpus": 4, "gpu_gb": 80}, {}, "ok", ("4 of 80 GB, CUDA 12.8",)),  # the judge takes four, a model two
    ("GPUs", {"gpus": 2}, {}, "FAIL", ("4 needed",)),
    ("GPUs", {"gpus": 0}, {}, "FAIL", ()),
    ("GPUs", {"build": None}, {}, "FAIL", ("CPU build",)),
    ("GPU memory", {}, {}, "ok", ()),
    ("GPU memory", {"gpu_gb": 24}, {}, "FAIL", ("Qwen2.5-7B", "the judge")),
    ("GPU memory", {"gpus": 0}, {}, None, ()),
    ("memory", {}, {}, "ok", ()),
    ("memory", {"available": 1e8}, {}, "warn", ()),
    ("memory", {"available": 1e8, "total": 2e8}, {}, "FAIL", ()),
    ("disk", {}, {}, "ok", ()),
    ("disk", {"free": 6e11}, {}, "warn", ()),  # enough without the states to resume from
    ("disk", {"free": 1e9}, {}, "FAIL", ()),
    ("DeepSpeed", {}, {}, "ok", ()),
    ("DeepSpeed", {"deepspeed": (1, "Traceback\nImportError: no such symbol")}, {}, "FAIL", ("no such symbol",)),
    ("DeepSpeed", {"modules": ()}, {}, "FAIL", ("[gpu]",)),
    ("C++ compiler", {"programs": ()}, {}, None, ()),
    ("C++ compiler", {"programs": ()}, {"hardware": CPU_HARDWARE}, "FAIL", ()),
    ("C++ compiler", {}, {"hardware": CPU_HARDWARE}, "ok", ("g++",)),
    ("vLLM", {}, {"hardware": GPU_HARDWARE | {"engine": "vllm"}, "judge_python": None}, "ok", ()),
    ("vLLM", {"modules": ()}, {"hardware": GPU_HARDWARE | {"engine": "vllm"}, "judge_python": None}, "FAIL", ()),
    ("sandbox", {}, {}, "ok", ()),
    ("sandbox", {"sandbox": "no sandbox: not installed"}, {}, "FAIL", ("not installed",)),
    ("sandbox", {"sandbox": "no sandbox: not installed"}, {"unsandboxed": True}, "warn", ()),
    ("IFEval", {}, {}, "ok", ()),
    ("IFEval", {"punkt": False}, {}, "FAIL", ("punkt_tab",)),
    ("IFEval", {"punkt": False, "modules": ("lm_eval", "langdetect", "nltk", "punkt")}, {}, "ok", ()),
    ("IFEval", {"modules": ("nltk",)}, {}, "FAIL", ("missing: lm_eval, langdetect",)),
    ("Hub", {}, {}, "ok", ()),
    ("Hub", {}, {"mirror": "somewhere"}, None, ()),
    ("Hub", {"modules": ()}, {}, "FAIL", ("[eval]",)),
    ("Hub", {"hub": False}, {}, "FAIL", ("INTRO_DATA_DIR",)),
    ("Hub", {"token": False}, {}, "FAIL", ("gpqa",)),
    ("models", {}, {}, "ok", ("0 of 6 are here",)),
    ("models", {"hub": False}, {}, "FAIL", ("the Hub does not answer",)),
]


@pytest.mark.parametrize(("name", "lacks", "changes", "expected", "words"), CASES)
def test_probe(
    name: str, lacks: dict, changes: dict, expected: Any, words: tuple, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = paper(tmp_path, **changes)
    Machine(**lacks).install(monkeypatch)
    finding = look(name, config)
    assert (finding and finding.status) == expected
    text = f"{finding.found} {finding.fix}" if finding else ""
    assert all(word in text for word in words) and "secret-token" not in text


def test_the_tiny_world_needs_none_of_what_published_data_and_gpus_need(
    tiny: Config, monkeypatch: pytest.MonkeyPatch
) -> None:
    Machine().install(monkeypatch)
    findings = doctor.examine(tiny)
    assert list(findings) == ["Python", "packages", "snakemake", "git", "GPUs", "memory", "disk"]
    assert {finding.status for finding in findings.values()} == {"ok"}


def test_local_versions_are_the_same_version(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(doctor.metadata, "version", lambda name: "2.13.0+cu128")
    assert doctor.installed("torch") == "2.13.0"
    assert doctor.constraints()["torch"] == "2.13.0" and len(doctor.constraints()) > 50


def test_vllm_of_the_judge_is_looked_for_in_its_own_environment(tmp_path: Path) -> None:
    """Whatever this environment has."""
    interpreter = tmp_path / "python"
    config = paper(tmp_path, judge_python=str(interpreter))
    assert status("vLLM", config) == "FAIL"
    for script, expected in (("exit 1", "FAIL"), ("exit 0", "ok")):
        interpreter.write_text(f"#!/bin/sh\n{script}\n")
        interpreter.chmod(0o755)
        assert status("vLLM", config) == expected


def test_bigcodebench(tmp_path: Path) -> None:
    """Asked of the interpreter itself: the usual libraries, and those of the problems once they are made."""
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


def test_mirror(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A file per set; a sample may lack MATH's test part; the variable takes precedence over the config."""
    folder = tmp_path / "mirror"
    config = paper(tmp_path, mirror=str(folder))
    assert look("mirror", paper(tmp_path)) is None
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


def test_models_in_folders(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    config, store = paper(tmp_path), tmp_path / "store"
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
    nothing = Machine(modules=(), gpus=0, build=None, available=1e6, total=1e6, hub=False, token=False)
    nothing.install(monkeypatch)
    done = CliRunner().invoke(cli.app, ["doctor", "--config", str(file)])
    assert done.exit_code == 1
    assert "could not be checked" not in done.output
    assert max(map(len, done.output.splitlines())) <= 80
    for name in ("GPUs", "memory", "DeepSpeed", "vLLM", "IFEval", "Hub", "models"):
        assert f"FAIL {name} " in done.output


def test_a_machine_for_the_tiny_scale_passes(tiny: Config, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    Machine(gpus=0, build=None, modules=(), available=8e9, total=16e9).install(monkeypatch)
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
