"""The task sources by name, and their interface."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Protocol

from intro.tasks.tiny_world.source import TinyWorldSource
from intro.types import Grade, IntroError, Problem

if TYPE_CHECKING:
    from tokenizers import Tokenizer

    from intro.config import Data


class TaskSource(Protocol):
    """Interface of a source of problems. Every method is deterministic."""

    answer_marker: str  # the text that comes before the answer in a response
    answer_end: str  # the text that closes the answer

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


def load_source(data: Data, prompts: Mapping[str, str], seed: int) -> TaskSource:
    """The source that `data.source` names. Raises IntroError for an unknown name."""
    if data.source == "tiny_world":
        sizes = {name: benchmark.problems for name, benchmark in data.benchmarks.items()}
        return TinyWorldSource(seed, sizes, data.train_problems, data.validation_problems, dict(prompts))
    if data.source == "hub":
        from intro.tasks.published.source import PublishedSource  # here, since its graders take 0.1 s to import

        return PublishedSource(data, seed)
    raise IntroError(f"data.source: expected one of tiny_world, hub, found '{data.source}'")
