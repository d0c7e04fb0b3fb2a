"""Which errors are told in one sentence, and which are bugs that keep their traceback."""

from __future__ import annotations

import errno

import pytest
import torch

from intro.types import IntroError, sentence_of


@pytest.mark.parametrize(
    ("error", "words"),
    [
        (IntroError("expected a, found b; do c"), "expected a, found b; do c"),
        (FileNotFoundError(errno.ENOENT, "No such file or directory", "x.json"), "x.json"),
        (OSError(errno.ENOSPC, "No space left on device", "final"), "final: the disk is full and the file was not"),
        (RuntimeError("I/O error: No space left on device (os error 28)"), "the disk is full"),
        (torch.OutOfMemoryError("CUDA out of memory.\n Tried to allocate 2 GiB"), "training.micro_batch_tokens"),
        (MemoryError(), "out of memory (of this machine)"),
    ],
)
def test_what_a_person_can_mend_is_one_sentence(error: Exception, words: str) -> None:
    said = sentence_of(error)
    assert said is not None and words in said and "\n" not in said


@pytest.mark.parametrize("error", [ValueError("x"), KeyError("y"), RuntimeError("shapes differ")])
def test_a_bug_keeps_its_traceback(error: Exception) -> None:
    assert sentence_of(error) is None
