"""The rehearsal's fixtures: rows that the readers of the published sets take, and checkpoints like published ones."""

from __future__ import annotations

from pathlib import Path

import pytest

from intro import rehearsal
from intro.config import Config, load, parse, read
from intro.model.tokenizer import ModelTokenizer
from intro.rehearsal import mirror_rows, write_fixtures
from intro.tasks.published.collections import COLLECTIONS
from intro.tasks.published.source import PublishedSource
from intro.types import IntroError

ROOT = Path(__file__).resolve().parents[1]


@pytest.fixture(scope="module")
def config(tmp_path_factory: pytest.TempPathFactory) -> Config:
    """config/rehearsal.yaml below a folder of its own, with its fixtures; pretraining cut to a few steps."""
    root = tmp_path_factory.mktemp("rehearsal")
    mapping = read(ROOT / "config/rehearsal.yaml")
    mapping["data"] |= {"mirror": str(root / "data"), "lock": str(root / "lock.json")}
    for name, model in mapping["models"].items():
        model["checkpoint"] = str(root / "models" / name)
    config = parse(mapping)
    with pytest.MonkeyPatch.context() as patch:
        patch.delenv("INTRO_DATA_DIR", raising=False)
        patch.delenv("INTRO_BENCHMARK_ROWS", raising=False)
        patch.setattr(rehearsal, "PRETRAINING", rehearsal.PRETRAINING.model_copy(update={"steps": 2}))
        write_fixtures(config)
    return config


def test_every_benchmark_has_rows_in_its_published_format(config: Config) -> None:
    """The source reads all rows, as many as the config names; ids are unique."""
    source = PublishedSource(config.data, config.seed)
    for name, benchmark in config.data.benchmarks.items():
        problems = source.problems(name)
        assert len(problems) == benchmark.problems == len({p.id for p in problems})
    assert set(mirror_rows(0)) == set(COLLECTIONS)


def test_training_problems_leave_out_those_of_math500(config: Config) -> None:
    """Two rows of the test split are MATH500's; the count with them would be 42."""
    source = PublishedSource(config.data, config.seed)
    asked = {p.question for p in source.problems("math500")}
    train = source.train()
    assert len(train) == 32 and len(source.validation()) == 8
    assert not asked & {p.question for p in [*train, *source.validation()]}


def test_reference_solutions_pass_their_graders(config: Config) -> None:
    """A correct mathematics answer is graded correct, and a wrong one is not."""
    source = PublishedSource(config.data, config.seed)
    for name in ("math500", "minerva_math", "olympiadbench", "college_math", "amc23", "aime25"):
        problem = source.problems(name)[0]
        right, wrong = source.grade_all([(f"So \\boxed{{{problem.answer}}}.", problem), ("\\boxed{77}", problem)])
        assert right.correct and not wrong.correct


def test_checkpoints_stop_on_both_end_tokens(config: Config) -> None:
    """As Qwen's base models: config.json names one end token, the tokenizer another."""
    for model in config.models.values():
        tokenizer = ModelTokenizer.from_folder(model.checkpoint)
        assert set(tokenizer.stop) == {tokenizer.raw.token_to_id(name) for name in (rehearsal.END, rehearsal.TURN)}
        words = "We get $9 - 4 = 5$. The answer is $\\boxed{5}$."
        assert tokenizer.decode(tokenizer.encode(words)) == words


def test_other_configs_are_refused(tmp_path: Path) -> None:
    """Nothing is written below the folders of a real config."""
    for name in ("tiny", "paper"):
        with pytest.raises(IntroError, match="expected a config whose data has a mirror"):
            write_fixtures(load(ROOT / "config" / f"{name}.yaml"))
