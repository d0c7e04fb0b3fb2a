"""`intro doctor`: each check passes on a machine that has what a config needs and fails on one that lacks it."""

from __future__ import annotations

import shutil
import socket
import subprocess
import sys
from collections import namedtuple
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import yaml
from typer.testing import CliRunner

from intro import cli, doctor
from intro.config import Config, load, parse, read
from intro.doctor import Check
from intro.types import IntroError
from toy import mapping

CONFIGS = Path(__file__).resolve().parents[1] / "config"
GPU_HARDWARE = {"gpus": 2, "processes": 2, "zero": 2, "dtype": "bfloat16"}
CPU_HARDWARE = {"gpus": 0, "processes": 2, "zero": 1, "dtype": "float32"}


@pytest.fixture(autouse=True)
def alone(monkeypatch: pytest.MonkeyPatch) -> None:
    """No test asks the network, and none depends on this machine's variables."""

    def refused(*args: Any, **kwargs: Any) -> None:
        raise OSError("no network in tests")

    monkeypatch.setattr(socket, "create_connection", refused)
    for name in ("INTRO_DATA_DIR", "INTRO_MODELS_DIR", "HF_TOKEN", "CXX"):
        monkeypatch.delenv(name, raising=False)


@pytest.fixture
def tiny(tmp_path: Path) -> Config:
    return parse(mapping(tmp_path))


def paper(root: Path, hardware: dict[str, Any] = GPU_HARDWARE, **data: Any) -> Config:
    """The paper's benchmarks and models below `root`, laid out alike."""
    settings = read(CONFIGS / "paper.yaml") | {"results": str(root / "results")}
    settings["models"] = {name: entry | {"hardware": hardware} for name, entry in settings["models"].items()}
    settings["data"] |= data
    return parse(settings)


def versions(monkeypatch: pytest.MonkeyPatch, **changed: str | None) -> None:
    """Pretend that packages have other versions, or (None) are not installed."""
    real = doctor.installed
    monkeypatch.setattr(doctor, "installed", lambda name: changed.get(name.replace("-", "_"), real(name)))


def environment(monkeypatch: pytest.MonkeyPatch, **changed: str | None) -> None:
    """Every package at its pin but these; names are compared as pip does."""
    pins = {name.lower().replace("_", "-"): version for name, version in (doctor.constraints() | changed).items()}
    monkeypatch.setattr(doctor, "installed", lambda name: pins.get(name.lower().replace("_", "-")))


def having(monkeypatch: pytest.MonkeyPatch, *modules: str) -> None:
    monkeypatch.setattr(doctor, "find_spec", lambda name: object() if name in modules else None)


def ran(monkeypatch: pytest.MonkeyPatch, code: int, message: str = "") -> None:
    done = subprocess.CompletedProcess([], code, "", message)
    monkeypatch.setattr(doctor, "run", lambda *command, **options: done)


# ---------------------------------------------------------------- Python and its packages


def test_python(tiny: Config, monkeypatch: pytest.MonkeyPatch) -> None:
    assert doctor.python(tiny).status == "ok"
    monkeypatch.setattr(sys, "version_info", namedtuple("V", "major minor micro")(3, 10, 2))
    found = doctor.python(tiny)
    assert found.fails and found.found == "3.10.2" and "3.11" in found.mend


def test_packages_at_their_pins(tiny: Config, monkeypatch: pytest.MonkeyPatch) -> None:
    pins = doctor.constraints()
    assert pins["torch"] == "2.13.0" and len(pins) > 50
    environment(monkeypatch)
    assert doctor.packages(tiny).status == "ok"


def test_packages_that_differ_or_lack(tiny: Config, monkeypatch: pytest.MonkeyPatch) -> None:
    """Another version is worth a warning, a missing requirement fails; extras may be missing."""
    environment(monkeypatch, torch="2.12.0")
    found = doctor.packages(tiny)
    assert found.status == "warn" and "torch 2.12.0 (pinned 2.13.0)" in found.found
    environment(monkeypatch, pandas=None)
    found = doctor.packages(tiny)
    assert found.fails and "pandas" in found.found
    environment(monkeypatch, deepspeed=None)
    assert doctor.packages(tiny).status == "ok"


def test_local_versions_are_the_same_version(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(doctor.metadata, "version", lambda name: "2.13.0+cu128")
    assert doctor.installed("torch") == "2.13.0"


def test_git(tiny: Config, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shutil, "which", lambda name: f"/usr/bin/{name}")
    assert doctor.git(tiny).status == "ok"
    monkeypatch.setattr(shutil, "which", lambda name: None)
    assert doctor.git(tiny).status == "warn"


def test_snakemake(tiny: Config, monkeypatch: pytest.MonkeyPatch) -> None:
    versions(monkeypatch, snakemake="9.27.1", snakemake_executor_plugin_slurm=None)
    found = doctor.snakemake(tiny)
    assert found.status == "ok" and "no SLURM plugin" in found.found
    versions(monkeypatch, snakemake="9.27.1", snakemake_executor_plugin_slurm="2.8.0")
    assert "SLURM plugin 2.8.0" in doctor.snakemake(tiny).found
    versions(monkeypatch, snakemake=None)
    assert doctor.snakemake(tiny).fails


# ---------------------------------------------------------------- the machine


def machine(monkeypatch: pytest.MonkeyPatch, gpus: int, gigabytes: float = 80, build: str | None = "12.8") -> None:
    monkeypatch.setattr(doctor, "gpu_bytes", lambda: [gigabytes * 1e9] * gpus)
    monkeypatch.setattr(doctor, "torch_build", lambda: build)
    monkeypatch.setattr(doctor.devices, "visible_gpus", lambda: [str(i) for i in range(gpus)])


def test_gpus(tmp_path: Path, tiny: Config, monkeypatch: pytest.MonkeyPatch) -> None:
    """As many as the largest command takes, the judge's four included, and a torch that can use them."""
    config = paper(tmp_path)
    assert doctor.gpus(tiny).status == "ok"
    machine(monkeypatch, 4)
    assert doctor.gpus(config).status == "ok" and "4 of 80 GB, CUDA 12.8" in doctor.gpus(config).found
    machine(monkeypatch, 2)
    assert doctor.gpus(config).fails and "4 wanted" in doctor.gpus(config).found
    machine(monkeypatch, 0)
    assert doctor.gpus(config).fails
    machine(monkeypatch, 8, build=None)
    assert doctor.gpus(config).fails and "CPU build" in doctor.gpus(config).found


def test_gpu_memory(tmp_path: Path, tiny: Config, monkeypatch: pytest.MonkeyPatch) -> None:
    config = paper(tmp_path)
    machine(monkeypatch, 4, 1000)
    assert doctor.gpu_memory(config).status == "ok" and doctor.gpu_memory(tiny) is None
    machine(monkeypatch, 4, 24)
    found = doctor.gpu_memory(config)
    assert found.fails and "Qwen2.5-7B" in found.found and "the judge" in found.found
    machine(monkeypatch, 0)
    assert doctor.gpu_memory(config) is None


@pytest.mark.parametrize(
    ("there", "status"), [((8e9, 16e9), "ok"), ((1e8, 16e9), "warn"), ((1e8, 2e8), "FAIL"), (None, "warn")]
)
def test_memory(there: Any, status: str, tiny: Config, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(doctor, "available_bytes", lambda: there)
    assert doctor.memory(tiny).status == status


def test_memory_wanted_by_hand(tmp_path: Path) -> None:
    """Two processes that each load the 8B model; with offload also its fp32 states."""
    weights = 2 * 8_190_735_360
    assert doctor.memory_wanted(paper(tmp_path)) == 2 * (1e9 + weights)
    offloading = paper(tmp_path, GPU_HARDWARE | {"offload": True})
    assert doctor.memory_wanted(offloading) == 2 * (1e9 + weights) + 6 * weights


@pytest.mark.parametrize(("free", "status"), [(1e13, "ok"), (6e11, "warn"), (1e9, "FAIL")])
def test_disk(free: float, status: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Too little even without the states to resume from fails; too little for both is a warning."""
    monkeypatch.setattr(shutil, "disk_usage", lambda folder: SimpleNamespace(free=free))
    assert doctor.disk(paper(tmp_path)).status == status


# ---------------------------------------------------------------- training and engines


def test_deepspeed(tmp_path: Path, tiny: Config, monkeypatch: pytest.MonkeyPatch) -> None:
    config = paper(tmp_path)
    assert doctor.deepspeed(tiny) is None
    having(monkeypatch, "deepspeed")
    ran(monkeypatch, 0)
    assert doctor.deepspeed(config).status == "ok"
    ran(monkeypatch, 1, "Traceback\nImportError: no such symbol")
    assert doctor.deepspeed(config).fails and "no such symbol" in doctor.deepspeed(config).found
    having(monkeypatch)
    assert doctor.deepspeed(config).fails and "[gpu]" in doctor.deepspeed(config).mend


def test_compiler(tmp_path: Path, tiny: Config, monkeypatch: pytest.MonkeyPatch) -> None:
    """Only DeepSpeed without GPUs needs one."""
    monkeypatch.setattr(shutil, "which", lambda name: None)
    assert doctor.compiler(tiny) is None and doctor.compiler(paper(tmp_path)) is None
    assert doctor.compiler(paper(tmp_path, CPU_HARDWARE)).fails
    monkeypatch.setattr(shutil, "which", lambda name: name if name == "g++" else None)
    assert doctor.compiler(paper(tmp_path, CPU_HARDWARE)).found == "g++"


def test_engine(tmp_path: Path, tiny: Config, monkeypatch: pytest.MonkeyPatch) -> None:
    config = paper(tmp_path, GPU_HARDWARE | {"engine": "vllm"})
    assert doctor.engine(tiny) is None
    having(monkeypatch, "vllm")
    assert doctor.engine(config).status == "ok"
    having(monkeypatch)
    assert doctor.engine(config).fails


def test_engine_of_the_judge_is_looked_for_in_its_own_environment(tmp_path: Path) -> None:
    """The judge's interpreter has to have vLLM, whatever this one has."""

    def told(python: Path) -> doctor.Check:
        config = load(Path(__file__).resolve().parents[1] / "config/paper.yaml")
        judge = config.verifier.model_copy(update={"python": str(python)})
        return doctor.engine(config.model_copy(update={"verifier": judge}))

    python = tmp_path / "python"
    assert told(python).fails
    for script, status in (("exit 1", "FAIL"), ("exit 0", "ok")):
        python.write_text(f"#!/bin/sh\n{script}\n")
        python.chmod(0o755)
        assert told(python).status == status


# ---------------------------------------------------------------- benchmarks, data and models


def test_sandbox(tmp_path: Path, tiny: Config, monkeypatch: pytest.MonkeyPatch) -> None:
    from intro.tasks.graders import sandbox

    assert doctor.sandbox(tiny) is None
    monkeypatch.setattr(sandbox, "available", lambda: None)
    assert doctor.sandbox(paper(tmp_path)).status == "ok"
    monkeypatch.setattr(sandbox, "available", lambda: "no sandbox: not installed")
    assert doctor.sandbox(paper(tmp_path)).fails
    assert doctor.sandbox(paper(tmp_path, unsandboxed=True)).status == "warn"


def test_bigcodebench(tmp_path: Path, tiny: Config, monkeypatch: pytest.MonkeyPatch) -> None:
    assert doctor.bigcodebench(tiny) is None
    assert doctor.bigcodebench(paper(tmp_path, bigcodebench_python=None)).status == "warn"
    assert doctor.bigcodebench(paper(tmp_path, bigcodebench_python=str(tmp_path / "python"))).fails
    configured = paper(tmp_path, bigcodebench_python=sys.executable)
    ran(monkeypatch, 0)
    assert doctor.bigcodebench(configured).status == "ok"
    ran(monkeypatch, 1, "ModuleNotFoundError: No module named 'sklearn'")
    assert doctor.bigcodebench(configured).fails and "sklearn" in doctor.bigcodebench(configured).found


def test_instructions(tmp_path: Path, tiny: Config, monkeypatch: pytest.MonkeyPatch) -> None:
    config = paper(tmp_path)
    assert doctor.instructions(tiny) is None
    having(monkeypatch, "lm_eval", "langdetect", "nltk")
    monkeypatch.setattr(doctor, "has_punkt", lambda: True)
    assert doctor.instructions(config).status == "ok"
    monkeypatch.setattr(doctor, "has_punkt", lambda: False)
    assert doctor.instructions(config).fails and "punkt_tab" in doctor.instructions(config).found
    having(monkeypatch, "nltk")
    assert doctor.instructions(config).found == "missing: lm_eval, langdetect"


def test_mirror(tmp_path: Path, tiny: Config, monkeypatch: pytest.MonkeyPatch) -> None:
    """A file per set; a sample may do without MATH's test part; the variable wins over the config."""
    folder = tmp_path / "mirror"
    config = paper(tmp_path, mirror=str(folder))
    assert doctor.mirror(tiny) is None and doctor.mirror(paper(tmp_path)) is None
    assert doctor.mirror(config).fails and "no such folder" in doctor.mirror(config).found
    folder.mkdir()
    names = doctor.sets_wanted(config)
    for name in names[:-1]:
        (folder / f"{name}.jsonl").touch()
    found = doctor.mirror(config)
    assert found.fails and found.found.endswith(f"lacks {names[-1]}.jsonl")
    assert doctor.mirror(paper(tmp_path, mirror=str(folder), sample=True)).status == "ok"
    (folder / f"{names[-1]}.jsonl").touch()
    monkeypatch.setenv("INTRO_DATA_DIR", str(folder))
    assert doctor.mirror(paper(tmp_path, mirror="elsewhere")).status == "ok"


def test_hub(tmp_path: Path, tiny: Config, monkeypatch: pytest.MonkeyPatch) -> None:
    """Asked only where data come from it; a gated set wants a token."""
    config = paper(tmp_path)
    assert doctor.hub(tiny) is None and doctor.hub(paper(tmp_path, mirror="somewhere")) is None
    with monkeypatch.context() as patch:
        patch.setattr(doctor, "find_spec", lambda name: None)
        assert doctor.hub(config).fails and "[eval]" in doctor.hub(config).mend
    monkeypatch.setattr(doctor, "reachable", lambda: False)
    assert doctor.hub(config).fails and "INTRO_DATA_DIR" in doctor.hub(config).mend
    monkeypatch.setattr(doctor, "reachable", lambda: True)
    assert doctor.hub(config).fails and "gpqa" in doctor.hub(config).found
    monkeypatch.setenv("HF_TOKEN", "secret-token")
    found = doctor.hub(config)
    assert found.status == "ok" and "secret-token" not in found.found


def test_reachable_never_hangs(monkeypatch: pytest.MonkeyPatch) -> None:
    """Refused at once, connected at once, or a name server that does not answer."""
    from threading import Event

    from huggingface_hub import constants

    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
    assert doctor.reachable(1.0) is False
    connection = SimpleNamespace(__enter__=lambda self: self, __exit__=lambda *args: None)
    connection = type("Connection", (), vars(connection))()
    monkeypatch.setattr(socket, "create_connection", lambda *args, **kwargs: connection)
    assert doctor.reachable(1.0) is True
    never = Event()

    def silence(*args: Any, **kwargs: Any) -> None:
        never.wait(30)
        raise OSError

    monkeypatch.setattr(socket, "create_connection", silence)
    assert doctor.reachable(0.05) is False
    never.set()
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    assert doctor.reachable(1.0) is False


def test_models(tmp_path: Path, tiny: Config, monkeypatch: pytest.MonkeyPatch) -> None:
    config = paper(tmp_path)
    assert doctor.models(tiny) is None
    monkeypatch.setattr(doctor, "reachable", lambda: True)
    found = doctor.models(config)
    assert found.status == "ok" and "0 of 6 are here" in found.found
    monkeypatch.setattr(doctor, "reachable", lambda: False)
    assert doctor.models(config).fails
    store = tmp_path / "store"
    monkeypatch.setenv("INTRO_MODELS_DIR", str(store))
    assert doctor.models(config).fails and str(store) in doctor.models(config).mend
    for name in [*(m.checkpoint for m in config.models.values()), config.verifier.checkpoint]:
        (store / name).mkdir(parents=True)
        (store / name / "config.json").touch()
    assert doctor.models(config).found == "all 6 are here"


def test_model_folder_that_is_not_there(tmp_path: Path) -> None:
    settings = paper(tmp_path).model_dump(mode="json", exclude_unset=True)
    settings["models"]["Qwen3-4B"]["checkpoint"] = str(tmp_path / "gone")
    found = doctor.models(parse(settings))
    assert found.fails and "gone" in found.found


# ---------------------------------------------------------------- the whole


def test_a_check_that_breaks_is_a_warning(tiny: Config, monkeypatch: pytest.MonkeyPatch) -> None:
    """The doctor goes on with the others."""

    def gpu_memory(config: Config) -> Check:
        raise RuntimeError("driver too old\nand more")

    monkeypatch.setattr(doctor, "CHECKS", (gpu_memory, doctor.python))
    broken, fine = doctor.examine(tiny)
    assert broken == Check("warn", "gpu memory", "could not be looked at (driver too old)") and fine.status == "ok"


def test_lines_fit_eighty_columns() -> None:
    """However long a path or a sentence is, as long as it has spaces."""
    checks = [Check("FAIL", "BigCodeBench", "word " * 60, "mend " * 40), Check("ok", "git", "installed")]
    text = list(doctor.lines(checks))
    assert max(map(len, text)) <= 80
    assert text[0].startswith("FAIL BigCodeBench   word") and text[-1] == "2 checks: 1 FAIL, 0 warn"


@pytest.mark.parametrize("hardware", [GPU_HARDWARE, CPU_HARDWARE])
def test_all_checks_together(hardware: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of a machine without anything, as printed: every check that applies, none broken, exit code 1."""
    config = paper(tmp_path, hardware)
    file = tmp_path / "paper.yaml"
    file.write_text(yaml.safe_dump(config.model_dump(mode="json", exclude_unset=True)))
    having(monkeypatch)
    machine(monkeypatch, 0, build=None)
    monkeypatch.setattr(doctor, "available_bytes", lambda: (1e6, 1e6))
    done = CliRunner().invoke(cli.app, ["doctor", "--config", str(file)])
    assert done.exit_code == 1
    assert "could not be looked at" not in done.output
    assert max(map(len, done.output.splitlines())) <= 80
    for name in ("GPUs", "memory", "DeepSpeed", "vLLM", "IFEval", "Hub", "models"):
        assert f"FAIL {name} " in done.output


def test_a_machine_for_the_tiny_scale_passes(tiny: Config, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    environment(monkeypatch)
    monkeypatch.setattr(doctor, "available_bytes", lambda: (8e9, 16e9))
    file = tmp_path / "toy.yaml"
    file.write_text(yaml.safe_dump(mapping(tmp_path)))
    done = CliRunner().invoke(cli.app, ["doctor", "--config", str(file)])
    assert done.exit_code == 0, done.output
    assert "0 FAIL" in done.output


def test_an_unknown_checkpoint_is_told_by_the_checks_that_need_its_size(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Memory and disk warn; nothing raises."""
    settings = paper(tmp_path).model_dump(mode="json", exclude_unset=True)
    settings["models"]["Qwen3-4B"]["checkpoint"] = "someone/else"
    config = parse(settings)
    monkeypatch.setattr(doctor, "CHECKS", (doctor.memory, doctor.disk, doctor.git))
    with pytest.raises(IntroError):
        doctor.disk(config)
    told = {check.name: check for check in doctor.examine(config)}
    assert "fetch it first" in told["disk"].found and told["disk"].status == "warn"
