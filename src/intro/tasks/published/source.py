"""Published benchmarks and the MATH training set, from the Hub or a mirror, checked against a lock."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from random import Random

from intro import config
from intro.tasks.graders import dispatch
from intro.tasks.published.collections import Collection, collection
from intro.tasks.published.fetch import Fetched, fetch, in_mirror, mirror_folder
from intro.tasks.published.lock import Entry, hold, read_lock, rows_hash
from intro.types import Grade, IntroError, Problem

TRAINING_SETS = ("math_train", "math_test")
TRAINING_LEVELS = (3, 4, 5)
HELD_OUT = "math500"
CONTAMINATED = "math-3-to-5-contaminated"


@dataclass(frozen=True)
class PublishedSource:
    """Problems by the config's benchmark names, which are those of the collections."""

    data: config.HubData
    seed: int
    entries: dict[str, Entry] = field(default_factory=dict, init=False, compare=False)  # of the lock, for sets read
    _read: dict[str, list[Problem]] = field(default_factory=dict, init=False, compare=False, repr=False)
    answer_marker: str = field(default="\\boxed{", init=False)  # as in MATH's solutions
    answer_end: str = field(default="}", init=False)

    def __post_init__(self) -> None:
        for name in self.data.benchmarks:
            collection(name)

    # ------------------------------------------------------------ problems

    def problems(self, benchmark: str) -> list[Problem]:
        """The config's number of problems, in the order of the set; a seeded choice where the set has more."""
        if benchmark not in self.data.benchmarks:
            raise IntroError(f"data.benchmarks: expected one of {', '.join(self.data.benchmarks)}, found '{benchmark}'")
        every, wanted = self._all(benchmark), self.data.benchmarks[benchmark].problems
        chosen = _choice(range(len(every)), wanted, f"{self.seed}/{benchmark}", f"data.benchmarks.{benchmark}")
        return [every[i] for i in chosen]

    def train(self) -> list[Problem]:
        """MATH of levels 3 to 5 without the validation problems; each holds a wrong answer, that of another problem."""
        taken = set(self._validation)
        kept = [problem for i, problem in enumerate(self._math) if i not in taken]
        return [replace(p, extra={**p.extra, "wrong_answer": self._wrong(p)}) for p in kept]

    def validation(self) -> list[Problem]:
        """Problems that are not trained on: a seeded choice among those whose text occurs once in the set."""
        return [self._math[i] for i in self._validation]

    @cached_property
    def _validation(self) -> list[int]:
        times = Counter(_bare(p.question) for p in self._math)
        single = [i for i, p in enumerate(self._math) if times[_bare(p.question)] == 1]
        return _choice(single, self.data.validation_problems, f"{self.seed}/validation", "data.validation_problems")

    @cached_property
    def _math(self) -> list[Problem]:
        """The whole training set, validation problems included, in the order of the published splits."""
        levels = [p for name in self._training_sets() for p in self._all(name) if p.extra["level"] in TRAINING_LEVELS]
        held_out = set() if self.data.train == CONTAMINATED else {_bare(p.question) for p in self._all(HELD_OUT)}
        kept = [p for p in levels if _bare(p.question) not in held_out]
        wanted = self.data.train_problems + self.data.validation_problems
        if len(kept) != wanted:
            raise IntroError(
                f"data.train: expected {wanted} problems (train_problems and validation_problems), found {len(kept)} "
                f"in {self.data.train} ({len(levels)} of levels 3 to 5, less {len(levels) - len(kept)} that {HELD_OUT} "
                f"has); set data.train_problems to {len(kept) - self.data.validation_problems} to take them"
            )
        return kept

    def _training_sets(self) -> list[str]:
        """Without the test split where a sample's mirror lacks it."""
        mirror = mirror_folder(self.data.mirror)
        first, *others = TRAINING_SETS
        if self.data.sample and mirror:
            others = [name for name in others if in_mirror(collection(name), mirror).is_file()]
        return [first, *others]

    # ------------------------------------------------------------ reading

    def _all(self, name: str) -> list[Problem]:
        """Every problem of a published set, after its rows were checked."""
        if name not in self._read:
            self._read[name] = self._fetch(collection(name))
        return self._read[name]

    def _fetch(self, published: Collection) -> list[Problem]:
        lock, name = Path(self.data.lock), published.name
        trusted = read_lock(lock).get(name)
        revision = published.revision or (trusted.revision if trusted else None)
        fetched = fetch(published, mirror_folder(self.data.mirror), revision)
        self._check(published, fetched)
        size, sha256 = len(fetched.rows), rows_hash(fetched.rows)
        origin = (published.hub_id, published.configs, published.split, fetched.revision)
        entry = Entry(*origin, size, sha256, fetched.origin)
        problems = [_problem(published, row, i, fetched.where) for i, row in enumerate(fetched.rows)]
        self.entries[name] = hold(lock, name, entry, fetched.where)
        return problems

    def _check(self, published: Collection, fetched: Fetched) -> None:
        expected = (published.rows, *published.other_rows)
        if len(fetched.rows) not in expected and not self.data.sample:
            raise IntroError(
                f"{published.name}: expected {' or '.join(map(str, expected))} rows at revision "
                f"{published.revision or fetched.revision or 'unknown'}, found {len(fetched.rows)} ({fetched.where}); "
                "fetch that revision whole, or set data.sample for a mirror that holds a part on purpose"
            )
        for i, row in enumerate(fetched.rows):
            missing = published.missing(row) if isinstance(row, dict) else ["every column"]
            if missing:
                raise IntroError(
                    f"{published.name}: expected the columns of {published.hub_id}, but row {i} lacks "
                    f"{', '.join(missing)} and has {', '.join(row) if isinstance(row, dict) else 'none'} "
                    f"({fetched.where}); take the rows as they are published"
                )

    # ------------------------------------------------------------ grading and controls

    def grade_all(self, pairs: Sequence[tuple[str, Problem]]) -> list[Grade]:
        """Grades by the graders that the problems' collections name."""
        execution = dispatch.Execution(self.data.unsandboxed, self.data.bigcodebench_python)
        return dispatch.grade_all(pairs, lambda problem: collection(problem.benchmark).grader, execution)

    def verify_all(self, pairs: Sequence[tuple[str, Problem]]) -> list[bool | None]:
        """None for each: only a judge model can verify these rationales."""
        return [None] * len(pairs)

    def wrong_answer(self, problem: Problem) -> str:
        """The answer of another training problem, always the same one for a problem."""
        return problem.extra.get("wrong_answer") or self._wrong(problem)

    def _wrong(self, problem: Problem) -> str:
        rng = Random(f"{self.seed}/wrong answer/{problem.id}")
        draws = (rng.choice(self._math).answer for _ in range(100))
        wrong = next((answer for answer in draws if answer != problem.answer), None)
        if wrong is None:
            raise IntroError(f"{problem.id}: expected training problems with other answers, found none; take more")
        return wrong

    def unknown_answer(self) -> str:
        """The word for an unknown answer."""
        return "unknown"


def _problem(published: Collection, row: dict, index: int, where: str) -> Problem:
    try:
        fields = published.read(row, index)
    except (ValueError, KeyError, TypeError, AttributeError, IndexError) as error:
        found = f"row {index} is not what {published.hub_id} publishes ({error}; {where})"
        raise IntroError(f"{published.name}: {found}; fetch it again") from None
    return Problem(id=f"{published.name}/{index}", benchmark=published.name, **fields)


def _choice(indices: Sequence[int], size: int, seed: str, key: str) -> list[int]:
    """Some of the indices, in their order; `key` is where the config asks for so many."""
    if size > len(indices):
        raise IntroError(f"{key}: expected {size} problems, found {len(indices)}; ask for fewer")
    return sorted(Random(seed).sample(indices, size))


def _bare(text: str) -> str:
    """A problem's text without white space, in which copies differ."""
    return "".join(text.split())
