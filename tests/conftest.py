"""What all tests share: one thread, and the toy world on disk."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from hypothesis import settings

TESTS = Path(__file__).parent
# Files whose tests start other programs, train, draw or prove; `make test-quick` leaves them out. `pytest --durations`
# says where a new file belongs
SLOW = {
    *("test_workflow.py", "test_replanning.py", "test_smoke_run.py", "test_environment.py", "test_rehearsal.py"),
    *("test_documents.py", "test_cli.py", "training/backends/test_deepspeed.py", "training/test_distributed.py"),
    *("training/test_launch.py", "training/test_loop.py", "training/test_run.py", "evaluation/test_posterior.py"),
    *("model/test_kernels.py", "infra/test_code_digest.py", "analysis/figures/test_figures.py"),
    *("analysis/report/test_report.py", "theory/test_identities.py", "theory/test_mutations.py"),
    *("tasks/graders/test_sandbox.py", "tasks/graders/test_programs.py", "tasks/graders/test_lm_eval.py"),
    *("benchmarks/test_versus_trl.py", "benchmarks/test_gpu_benchmark.py", "cost/measure/test_updates.py"),
    *("rollout/test_api.py", "analysis/tables/test_tables.py", "analysis/claims/test_claims.py"),
    *("analysis/stats/test_intervals.py", "cost/measure/test_timing.py", "pretraining/test_run.py"),
}

settings.register_profile("tests", deadline=None)  # a first example warms torch up, and workers share the cores
settings.load_profile("tests")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    assert all((TESTS / name).is_file() for name in SLOW), "tests/conftest.py: SLOW names a file that does not exist"
    for item in items:
        if item.path.relative_to(TESTS).as_posix() in SLOW:
            item.add_marker(pytest.mark.slow)


@pytest.fixture(scope="session", autouse=True)
def _one_thread() -> None:
    """Small tensors gain nothing from threads, and sums are then the same on every machine."""
    import torch

    torch.set_num_threads(1)


@pytest.fixture(scope="session")
def toy_root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The toy world's files, which nothing may change."""
    import toy

    root = tmp_path_factory.mktemp("toy")
    toy.write_world(root)
    return root


@pytest.fixture
def toy_config(toy_root: Path, tmp_path: Path):
    """The config of a copy of the toy world, free to change."""
    import toy
    from intro.config import parse

    shutil.copytree(toy_root, tmp_path, dirs_exist_ok=True)
    return parse(toy.mapping(tmp_path))
