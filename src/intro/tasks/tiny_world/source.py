"""The tiny world: problems, a corpus and grading, as functions of a seed and of sizes only.

A hash of the question decides its split, so a test question never occurs in the corpus or in training, however many
questions are drawn and in whatever order.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import count, islice
from random import Random
from typing import Literal

from intro.tasks.tiny_world import authors, checking, language
from intro.tasks.tiny_world.authors import Author, Style, unit_hash
from intro.tasks.tiny_world.families import FAMILIES, IN_DOMAIN, OUT_OF_DOMAIN, Family
from intro.types import Grade, IntroError, Problem

Split = Literal["test", "validation", "train", "corpus"]
SETTINGS = ("clean", "bayes", "consistent")

# upper ends of the splits' shares of all questions
_SPLITS: tuple[tuple[float, Split], ...] = ((0.10, "test"), (0.15, "validation"), (0.40, "train"), (1.0, "corpus"))
_MAX_REPEATS = 10_000  # repeated questions in a row after which a split counts as exhausted

IN_DOMAIN_SHARE = 0.55  # of the corpus; the out-of-domain families share the rest evenly
GIVEN_SHARE = 0.40  # documents whose prompt holds an answer
UNKNOWN_SHARE = 0.04  # documents whose prompt holds the word for an unknown answer, so that models learn its meaning
CLEAN_VERBOSE_SHARE = 0.10  # worked solutions are mostly concise


@dataclass(frozen=True, slots=True)
class TinyWorldSource:
    """One tiny world. `benchmarks` maps a benchmark to its number of problems, `prompts` are the two layouts."""

    seed: int
    benchmarks: Mapping[str, int]
    train_problems: int
    validation_problems: int
    prompts: Mapping[str, str]
    answer_marker: str = field(default=language.ANSWER, init=False)
    answer_end: str = field(default="", init=False)

    def __post_init__(self) -> None:
        for name in self.benchmarks:
            _family(name)
        for name, parts in (("question", ("{question}",)), ("posterior", ("{question}", "{answer}"))):
            if name not in self.prompts:
                raise IntroError(f"prompts: expected a template named '{name}', found {', '.join(self.prompts)}")
            for part in parts:
                if part not in self.prompts[name]:
                    raise IntroError(f"prompts.{name}: expected {part} in it, found '{self.prompts[name]}'")
        for name, template in self.prompts.items():
            _check_template(name, template)

    # ------------------------------------------------------------ problems

    def split(self, question: str) -> Split:
        """The split of a question: a function of the question and the seed only."""
        share = unit_hash(self.seed, "split", question)
        return next(name for end, name in _SPLITS if share < end)

    def problems(self, benchmark: str) -> list[Problem]:
        """The test problems of a configured benchmark."""
        if benchmark not in self.benchmarks:
            raise IntroError(f"data.benchmarks: expected one of {', '.join(self.benchmarks)}, found '{benchmark}'")
        return self._distinct(_family(benchmark), "test", self.benchmarks[benchmark])

    def train(self) -> list[Problem]:
        """Post-training problems: the in-domain tiers in equal parts, shuffled, with gold rationales."""
        return self._mixed("train", self.train_problems)

    def validation(self) -> list[Problem]:
        """Problems to choose learning rates on: the mixture of `train`, without a common question."""
        return self._mixed("validation", self.validation_problems)

    def _mixed(self, split: Split, size: int) -> list[Problem]:
        share, rest = divmod(size, len(IN_DOMAIN))
        tiers = [self._distinct(tier, split, share + (i < rest), gold=True) for i, tier in enumerate(IN_DOMAIN)]
        problems = [problem for tier in tiers for problem in tier]
        Random(f"{self.seed}/shuffle/{split}").shuffle(problems)
        return problems

    def _distinct(self, family: Family, split: Split, size: int, gold: bool = False) -> list[Problem]:
        draws = self._questions(family, split, Random(f"{self.seed}/{split}/{family.name}"))
        questions: dict[str, None] = {}  # an ordered set
        while len(questions) < size:
            new = next((question for question in islice(draws, _MAX_REPEATS) if question not in questions), None)
            if new is None:
                wanted = f"{size} different {family.name} problems"
                raise IntroError(f"{split}: expected {wanted}, found {len(questions)}; ask for fewer")
            questions[new] = None
        name, rationale = family.name, self._gold if gold else lambda family, question: None
        return [
            Problem(f"{name}/{split}/{i}", name, question, family.solve(question), rationale(family, question))
            for i, question in enumerate(questions)
        ]

    def _questions(self, family: Family, split: Split, rng: Random) -> Iterator[str]:
        drawn = (family.draw(rng) for _ in count())
        return (question for question in drawn if self.split(question) == split)

    def _gold(self, family: Family, question: str) -> str:
        """A reference solution: a text of a careful author of the corpus without mistakes.

        The style is drawn as in the corpus, so that references are correct but not in the policy's best style.
        """
        rng = Random(f"{self.seed}/gold/{question}")
        return self._write_until(family, question, rng, authors.CAREFUL, _style(rng, authors.VERBOSE_SHARE))

    def _write_until(self, family: Family, question: str, rng: Random, author: Author, style: Style) -> str:
        texts = (authors.write(self.seed, family, question, author, style, rng) for _ in count())
        return next(text for text in texts if checking.verify(text, family, question))

    # ------------------------------------------------------------ corpus

    def corpus(self, setting: str, documents: int) -> list[tuple[str, str]]:
        """(prompt, response) pairs to pretrain on; a longer corpus begins with the shorter one."""
        if setting not in SETTINGS:
            raise IntroError(f"corpus: expected one of {', '.join(SETTINGS)}, found '{setting}'")
        rng = Random(f"{self.seed}/corpus/{setting}")
        return [self._document(setting, rng) for _ in range(documents)]

    def _document(self, setting: str, rng: Random) -> tuple[str, str]:
        family = rng.choice(IN_DOMAIN if rng.random() < IN_DOMAIN_SHARE else OUT_OF_DOMAIN)
        question = next(self._questions(family, "corpus", rng))
        layout = rng.random()
        if layout < GIVEN_SHARE:
            answer, response = self._given(setting, family, question, rng)
            return self._prompt("posterior", question, answer), response
        response = self._neutral(family, question, rng)
        if layout < GIVEN_SHARE + UNKNOWN_SHARE:
            return self._prompt("posterior", question, language.UNKNOWN), response
        return self._prompt("question", question), response

    def _given(self, setting: str, family: Family, question: str, rng: Random) -> tuple[str, str]:
        """The answer that the prompt states, and the rationale below it."""
        gold = family.solve(question)
        if setting == "clean":  # worked solutions without mistakes
            style = _style(rng, CLEAN_VERBOSE_SHARE)
            return gold, self._write_until(family, question, rng, authors.CAREFUL, style)
        response = self._neutral(family, question, rng)
        if setting == "bayes":  # any text that ends in the gold answer: Bayes' rule by rejection
            while not checking.grade(response, gold).correct:
                response = self._neutral(family, question, rng)
        stated = checking.grade(response, gold).extracted
        assert stated is not None  # authors always answer
        return stated, response

    def _neutral(self, family: Family, question: str, rng: Random) -> str:
        """A text of a random author who has not seen the answer."""
        author = authors.CAREFUL if rng.random() < authors.CAREFUL_SHARE else authors.CARELESS
        return authors.write(self.seed, family, question, author, _style(rng, authors.VERBOSE_SHARE), rng)

    def _prompt(self, layout: str, question: str, answer: str = "") -> str:
        return self.prompts[layout].format(question=question, answer=answer)

    # ------------------------------------------------------------ grading and controls

    def grade(self, text: str, problem: Problem) -> Grade:
        """Exact match of the answer; a malformed response is graded wrong and raises nothing."""
        return checking.grade(text, problem.answer)

    def grade_all(self, pairs: Sequence[tuple[str, Problem]]) -> list[Grade]:
        """Grades in order."""
        return [self.grade(text, problem) for text, problem in pairs]

    def verify(self, text: str, problem: Problem) -> bool:
        """Whether every step of the response follows; see `checking.verify`."""
        return checking.verify(text, _family(problem.benchmark), problem.question)

    def verify_all(self, pairs: Sequence[tuple[str, Problem]]) -> list[bool | None]:
        """Whether each response is verified, in order."""
        return [self.verify(text, problem) for text, problem in pairs]

    def wrong_answer(self, problem: Problem) -> str:
        """A plausible wrong answer, always the same one for a problem."""
        rng = Random(f"{self.seed}/wrong answer/{problem.question}")
        return " ".join(_family(problem.benchmark).mistake(tuple(problem.answer.split()), rng))

    def unknown_answer(self) -> str:
        """The word for an unknown answer."""
        return language.UNKNOWN

    build_tokenizer = staticmethod(language.build_tokenizer)
    tokenizer_settings = staticmethod(language.tokenizer_settings)


def _family(name: str) -> Family:
    if name not in FAMILIES:
        raise IntroError(f"data.benchmarks: expected one of {', '.join(FAMILIES)}, found '{name}'")
    return FAMILIES[name]


def _check_template(name: str, template: str) -> None:
    try:
        filled = template.format(question="", answer="")
    except (KeyError, IndexError, ValueError):
        expected = "no other fields than {question} and {answer}"
        raise IntroError(f"prompts.{name}: expected {expected}, found '{template}'") from None
    language.require_words(filled, f"prompts.{name}")


def _style(rng: Random, verbose_share: float) -> Style:
    return authors.VERBOSE if rng.random() < verbose_share else authors.CONCISE
