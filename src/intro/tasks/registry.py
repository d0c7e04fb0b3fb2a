"""The task sources by name, and their interface."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Protocol

from intro.tasks.tiny_world.source import TinyWorldSource
from intro.types import Grade, IntroError, Problem

if TYPE_CHECKING:
    from tokenizers import Tokenizer

    from intro.config import Data


class TaskSource(Protocol):
    """Interface of a source of problems. Every method is deterministic."""

    @property
    def answer_marker(self) -> str:
        """The text that comes before the answer in a response."""

    @property
    def answer_end(self) -> str:
        """The text that closes the answer."""

    def problems(self, benchmark: str) -> list[Problem]:
        """The test problems of one benchmark."""

    def train(self) -> list[Problem]:
        """Post-training problems, each with a gold rationale that ends in its answer."""

    def validation(self) -> list[Problem]:
        """Problems to choose learning rates on."""

    def grade_all(self, pairs: Sequence[tuple[str, Problem]]) -> list[Grade]:
        """Grades of the answers of (response, problem) pairs, in order."""

    def verify_all(self, pairs: Sequence[tuple[str, Problem]]) -> list[bool | None]:
        """Whether every step of a response follows; None where only a judge model can verify it."""

    def wrong_answer(self, problem: Problem) -> str:
        """A plausible wrong answer, for the control whose posterior is given one."""

    def unknown_answer(self) -> str:
        """What replaces the answer in the control whose posterior is given none."""


class CorpusSource(TaskSource, Protocol):
    """A source that base models are pretrained on."""

    def corpus(self, setting: str, documents: int) -> list[tuple[str, str]]:
        """(prompt, response) pairs to pretrain a base model on."""

    def build_tokenizer(self) -> Tokenizer:
        """The tokenizer of the corpus."""

    def tokenizer_settings(self) -> dict[str, object]:
        """Keyword arguments of `PreTrainedTokenizerFast` beside `tokenizer_object`."""


def _tiny_world(data: Data, prompts: Mapping[str, str], seed: int) -> TaskSource:
    return TinyWorldSource(
        seed=seed,
        benchmarks={name: benchmark.problems for name, benchmark in data.benchmarks.items()},
        train_problems=data.train_problems,
        validation_problems=data.validation_problems,
        prompts=dict(prompts),
    )


def _hub(data: Data, prompts: Mapping[str, str], seed: int) -> TaskSource:
    from intro.tasks.published.source import PublishedSource  # imported here, since its graders take 0.1 s to import

    return PublishedSource(data, seed)


_SOURCES: dict[str, Callable[[Data, Mapping[str, str], int], TaskSource]] = {"tiny_world": _tiny_world, "hub": _hub}


def load_source(data: Data, prompts: Mapping[str, str], seed: int) -> TaskSource:
    """The source that `data.source` names. Raises IntroError for a name that is not registered."""
    if data.source not in _SOURCES:
        raise IntroError(f"data.source: expected one of {', '.join(_SOURCES)}, found '{data.source}'")
    return _SOURCES[data.source](data, prompts, seed)
