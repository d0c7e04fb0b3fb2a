"""The functions for other programs, and their errors for tensors of the wrong shape or dtype."""

from __future__ import annotations

import tomllib
from importlib import resources
from pathlib import Path

import pytest
import torch
from torch import Tensor

import intro
from intro import intro_loss, token_logprobs
from intro.types import Loss, LossBatch

ROOT = Path(__file__).resolve().parents[1]
N, D, V = 6, 4, 9


def arguments() -> dict[str, Tensor]:
    g = torch.Generator().manual_seed(3)
    hidden, posterior = (torch.randn(N, D, generator=g) for _ in range(2))
    return {
        "policy_hidden": hidden.requires_grad_(),
        "posterior_hidden": posterior,
        "lm_head": torch.randn(V, D, generator=g).requires_grad_(),
        "tokens": torch.randint(V, (N,), generator=g),
        "weights": torch.rand(N, generator=g),
    }


WRONG = {
    "batched": ("policy_hidden", lambda x: x[None], r"expected shape \[N, d\], found \[1, 6, 4\]; flatten"),
    "batched tokens": ("tokens", lambda x: x[None], r"expected shape \[6\], found \[1, 6\]; flatten"),
    "integer states": ("policy_hidden", lambda x: x.long(), r"expected a floating-point dtype, found torch.int64"),
    "other positions": ("posterior_hidden", lambda x: x[1:], r"expected shape \[6, d\], found \[5, 4\]"),
    "transposed head": ("lm_head", lambda x: x.t(), r"expected shape \[V, 4\], found \[4, 9\]"),
    "head of another dtype": ("lm_head", lambda x: x.double(), "expected one dtype, found torch.float32 and"),
    "fewer tokens": ("tokens", lambda x: x[1:], r"expected shape \[6\], found \[5\]"),
    "short tokens": ("tokens", lambda x: x.int(), "expected torch.int64, found torch.int32; convert it"),
    "integer weights": ("weights", lambda x: x.long(), "expected a floating-point dtype, found torch.int64"),
    "fewer weights": ("weights", lambda x: x[1:], r"expected shape \[6\], found \[5\]"),
}  # fmt: skip


@pytest.mark.parametrize("n", [3, None])
@pytest.mark.parametrize("case", WRONG)
def test_a_wrong_tensor_is_named_in_one_sentence(case: str, n: int | None) -> None:
    name, change, sentence = WRONG[case]
    given = arguments()
    given[name] = change(given[name])
    with pytest.raises(ValueError, match=rf"^(policy_hidden and )?{name}: {sentence}"):
        intro_loss(**given, n=n, clip=200.0)


def test_a_wrong_posterior_head_is_named() -> None:
    with pytest.raises(ValueError, match=r"^posterior_head: expected shape \[9, 4\], found \[8, 4\]"):
        intro_loss(**arguments(), n=3, clip=200.0, posterior_head=torch.randn(V - 1, D))


@pytest.mark.parametrize("case", ["batched", "batched tokens", "transposed head", "short tokens"])
def test_token_logprobs_checks_the_same(case: str) -> None:
    name, change, sentence = WRONG[case]
    given = arguments()
    given[name] = change(given[name])
    with pytest.raises(ValueError, match=sentence):
        token_logprobs(given["policy_hidden"], given["lm_head"], given["tokens"])


def test_positions_are_chunked_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """The loss sees one chunk at a time, and its sum, gradients and factors are those of all positions."""
    results = []
    for rows in (N, 4):
        seen: list[int] = []
        monkeypatch.setattr("intro.model.chunked_loss.rows_per_chunk", lambda vocabulary, rows=rows: rows)
        monkeypatch.setattr("intro.library.eq_7", _recorded(seen))
        given = arguments()
        result = intro_loss(**given, n=None, clip=3.0)
        result.loss.backward()
        results.append((result.loss.detach(), result.correction, given["policy_hidden"].grad, given["lm_head"].grad))
        assert seen == ([N] if rows == N else [4, 2])
    for whole, chunked in zip(*results, strict=True):
        torch.testing.assert_close(whole, chunked)


def _recorded(seen: list[int]):
    from intro.objectives.intro import eq_7

    def record(batch: LossBatch, *options) -> Loss:
        seen.append(len(batch.tokens))
        return eq_7(batch, *options)

    return record


def test_the_package_says_its_version_and_that_it_is_typed() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())
    assert "version" in project["project"]["dynamic"], "the version has one source: intro.__version__"
    assert f"version: {intro.__version__}" in (ROOT / "CITATION.cff").read_text()
    assert resources.files("intro").joinpath("py.typed").is_file()


def test_an_unknown_name_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="no attribute 'into_loss'"):
        _ = intro.into_loss
