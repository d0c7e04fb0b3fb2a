"""Triton kernels against their definitions in fp64: compiled on a GPU if there is one, else in Triton's interpreter.

Triton decides at its import whether it compiles or interprets, so the interpreted tests run in another process.
"""

from __future__ import annotations

import math
import os
import re
import subprocess
import sys
from collections.abc import Callable, Iterator
from importlib.util import find_spec
from pathlib import Path

import pytest
import torch
from scipy.stats import chisquare
from torch import Tensor

from intro import intro_loss
from intro.config import Hardware
from intro.model.kernels import launch as kernels

ROOT = Path(__file__).resolve().parents[2]
INTERPRETED = os.environ.get("TRITON_INTERPRET") == "1"
QWEN = 151_936

if INTERPRETED:
    # rows and widths: one column, less than a block, a block and one, several blocks with a tail
    DEVICE, SIZES = "cpu", [(0, 35), (2, 1), (3, 35), (1, 4097), (2, 9001)]
    BF16 = 2**-7  # the interpreter truncates where a GPU rounds
else:
    DEVICE, SIZES = "cuda", [(0, 35), (3, 1), (5, 35), (2, 4097), (64, QWEN)]
    BF16 = 2**-8
sizes = pytest.mark.parametrize(("rows", "width"), SIZES)
NEEDS_GPU = pytest.mark.skipif(
    not torch.cuda.is_available() or find_spec("triton") is None, reason="needs a CUDA device and Triton"
)


@pytest.fixture(autouse=True)
def _triton() -> Iterator[None]:
    """Triton is off by default: these tests select it, and other test files must not see that."""
    kernels.select("triton")
    yield
    kernels.select("torch")


def on_device(test: Callable) -> Callable:
    """A test that a GPU or the interpreter must run."""
    if INTERPRETED:
        return test
    return pytest.mark.gpu(NEEDS_GPU(test))


@pytest.mark.skipif(INTERPRETED, reason="this is that process")
def test_under_the_interpreter() -> None:
    """Every test below that needs a device passes in Triton's interpreter, so kernels are checked without a GPU."""
    pytest.importorskip("triton", reason="needs Triton")
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", __file__],
        env=os.environ | {"TRITON_INTERPRET": "1"},
        cwd=ROOT,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert re.search(r"\d\d passed", done.stdout)


# ---------------------------------------------------------------- definitions, in fp64


def plain_draw(p: Tensor, u: Tensor) -> Tensor:
    ends = p.double().cumsum(-1)
    return torch.searchsorted(ends, u * ends[:, -1:], right=True)


def plain_gradient(p: Tensor, mass: Tensor, columns: Tensor, values: Tensor) -> Tensor:
    total = mass.double()[:, None] * p.double()
    for row in range(len(p)):
        for column, value in zip(columns[row].tolist(), values[row].tolist(), strict=True):
            total[row, column] += value
    return total


def plain_clipped_cross_entropy(
    logits: Tensor, posterior_logits: Tensor, clip: float
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    p, q = logits.double().softmax(-1), posterior_logits.double().softmax(-1)
    m = torch.minimum(q, clip * p)
    mass = m.sum(-1)
    return -(m * p.log()).sum(-1), mass, (q > clip * p).any(-1), mass[:, None] * p - m


def seeded(seed: int = 7) -> torch.Generator:
    return torch.Generator(device=DEVICE).manual_seed(seed)


def logits_of(rows: int, width: int, seed: int, scale: float = 4.0) -> Tensor:
    return torch.randn(rows, width, generator=seeded(seed), device=DEVICE) * scale


def some_columns(rows: int, width: int, k: int) -> Tensor:
    columns = torch.randint(width, (rows, k), generator=seeded(1), device=DEVICE)
    columns[:, ::3] = width - 1  # the last one, and again and again
    return columns


# ---------------------------------------------------------------- kernel by kernel


@on_device
@sizes
def test_softmax(rows: int, width: int) -> None:
    """In place, with logarithms at columns; adding a constant to a row changes nothing, however large."""
    logits = logits_of(rows, width, seed=width) + torch.arange(rows, device=DEVICE)[:, None] % 3 * 300.0
    columns, want = some_columns(rows, width, 4), logits.double().log_softmax(-1)
    p = logits.clone()
    logp = kernels.softmax_(p, columns)
    torch.testing.assert_close(p.double(), want.exp(), rtol=2e-4, atol=1e-9)
    torch.testing.assert_close(logp.double(), want.gather(1, columns), rtol=0, atol=2e-4)
    assert kernels.softmax_(logits.clone(), columns[:, :0]).shape == (rows, 0)


@on_device
def test_softmax_of_extremes() -> None:
    """Log-probabilities of underflowing columns are exact, -inf stays probability zero, and nan stays nan."""
    logits = logits_of(3, 5000, seed=3)
    logits[0, 17], logits[1, :4500], logits[2, 4999] = -500.0, -math.inf, math.nan
    want = logits.double().log_softmax(-1)
    p = logits.clone()
    logp = kernels.softmax_(p, torch.full((3, 1), 17, device=DEVICE))
    torch.testing.assert_close(logp.double(), want[:, 17:18], rtol=0, atol=1e-4, equal_nan=True)
    torch.testing.assert_close(p.double(), want.exp(), rtol=2e-4, atol=1e-9, equal_nan=True)


@on_device
@sizes
@pytest.mark.parametrize("k", [0, 1, 5])
def test_draws_are_those_of_the_cumulative_sum(rows: int, width: int, k: int) -> None:
    """The same column for the same u [r, k], also where most have no probability and the sum is not 1."""
    p = logits_of(rows, width, seed=k).softmax(-1) * 0.7
    p[:, 1::2] *= (torch.rand(rows, width // 2, generator=seeded(5), device=DEVICE) < 0.1).float()
    u = torch.rand(rows, k, generator=seeded(6), device=DEVICE, dtype=torch.float64)
    assert torch.equal(kernels.draw(p, u), plain_draw(p, u))


@on_device
@pytest.mark.parametrize("width", [1, 35, 2048, 2049, 9001])
def test_draws_at_the_ends(width: int) -> None:
    """u = 0 and the largest u below 1 give the first and the last column that has any probability."""
    p = torch.zeros(3, width, device=DEVICE)
    first, last = width // 3, width - 1 - width // 4
    p[0, first], p[0, last] = 0.5, 0.5
    p[1, first : last + 1] = 1.0 / 3.0
    p[2, first : last + 1] = 1e-30
    u = torch.tensor([0.0, 1 - 2.0**-53], dtype=torch.float64, device=DEVICE).expand(3, 2)
    assert kernels.draw(p, u).tolist() == [[first, last]] * 3
    assert kernels.draw(p[:1], u[:1, :1] + 0.5).item() == last  # where one ends, the next begins
    undefined = kernels.draw(torch.full_like(p, math.nan), u)
    assert ((undefined >= 0) & (undefined < width)).all()  # valid indices, so that the nan reaches the loss


@on_device
def test_draws_of_rare_tokens() -> None:
    """Columns too rare for a sum in fp32 to notice, in all blocks, are found at their place."""
    p = torch.full((1, 5000), 1e-11, device=DEVICE)
    p[0, 0] = 1.0
    u = 1 - 5e-8 * torch.rand(1, 8, generator=seeded(3), device=DEVICE, dtype=torch.float64)
    want = plain_draw(p, u)
    assert want.unique().numel() > 4 and torch.equal(kernels.draw(p, u), want)


@on_device
def test_draws_have_their_probabilities() -> None:
    """Frequencies over columns in three blocks, by chi-square, with their u from torch's generator."""
    width, columns = 5000, [0, 2047, 2048, 3000, 4999]
    chances = torch.tensor([0.3, 0.1, 0.25, 0.15, 0.2], dtype=torch.float64)
    p = torch.zeros(3, width, device=DEVICE)
    p[:, columns] = chances.to(p)
    drawn = kernels.draw(p, torch.rand(3, 40, generator=seeded(8), device=DEVICE, dtype=torch.float64))
    seen = torch.bincount(drawn.flatten(), minlength=width)[columns]
    assert seen.sum() == 120
    assert chisquare(seen.tolist(), (120 * chances).tolist()).pvalue > 1e-3


@on_device
@sizes
@pytest.mark.parametrize(("k", "dtype"), [(k, dtype) for k in (0, 1, 40) for dtype in (torch.float32, torch.bfloat16)])
def test_gradient(rows: int, width: int, k: int, dtype: torch.dtype) -> None:
    """Of either sign, with columns that repeat; in place in fp32, rounded once in bfloat16, the same each time."""
    p = logits_of(rows, width, seed=k).softmax(-1)
    mass = torch.randn(rows, generator=seeded(2), device=DEVICE)
    values = torch.randn(k, rows, generator=seeded(3), device=DEVICE).t()  # not contiguous
    columns = some_columns(rows, width, k)
    want = plain_gradient(p, mass, columns, values)
    again = kernels.gradient_(p.clone(), mass, columns, values, dtype)
    buffer = p.clone()
    got = kernels.gradient_(buffer, mass, columns, values, dtype)
    assert got.dtype == dtype and (got is buffer) == (dtype == torch.float32)
    precision = {"rtol": 1e-5, "atol": 1e-6} if dtype == torch.float32 else {"rtol": BF16, "atol": 1e-6}
    torch.testing.assert_close(got.double(), want, **precision)
    assert torch.equal(got, again)


@on_device
@sizes
@pytest.mark.parametrize("clip", [200.0, 1.3, 0.5])
def test_exact(rows: int, width: int, clip: float) -> None:
    """Loss, mass, clip flags and gradient; a row in which both agree is clipped only below 1."""
    logits, posterior_logits = logits_of(rows, width, seed=1, scale=2.0), logits_of(rows, width, seed=2, scale=2.0)
    posterior_logits[-1:] = logits[-1:]
    want = plain_clipped_cross_entropy(logits, posterior_logits, clip)
    got = *kernels.clipped_cross_entropy_(logits, posterior_logits, clip), logits
    assert got[2].dtype == torch.bool and torch.equal(got[2], want[2])
    for a, b in ((got[0], want[0]), (got[1], want[1]), (got[3], want[3])):
        torch.testing.assert_close(a.double(), b, rtol=2e-4, atol=1e-7)


@on_device
def test_exact_of_extremes() -> None:
    """Columns of probability zero in p, p' or both add nothing, and a nan in either makes the loss nan."""
    logits, posterior_logits = logits_of(4, 5000, seed=1), logits_of(4, 5000, seed=2)
    logits[0, :3000], posterior_logits[1, :3000] = -math.inf, -math.inf
    logits[2, 4000], posterior_logits[3, 4000] = math.nan, math.nan
    p, q = logits[:2].double().softmax(-1), posterior_logits[:2].double().softmax(-1)
    m = torch.minimum(q, 200.0 * p)
    loss, mass, clipped = kernels.clipped_cross_entropy_(logits, posterior_logits, 200.0)
    torch.testing.assert_close(loss[:2].double(), -torch.special.xlogy(m, p).sum(-1), rtol=2e-4, atol=1e-7)
    torch.testing.assert_close(mass[:2].double(), m.sum(-1), rtol=2e-4, atol=1e-7)
    assert clipped[0] and loss[2:].isnan().all()


@on_device
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("n", [1, 5, None])
def test_head_is_the_same_with_and_without(n: int | None, dtype: torch.dtype, monkeypatch) -> None:
    """The loss of Eq. 7 and its gradients by kernels are those of plain torch, the draws included."""
    g, width = seeded(4), 300
    hidden, posterior_hidden = (torch.randn(6, 8, generator=g, device=DEVICE).to(dtype) for _ in range(2))
    lm_head = torch.randn(width, 8, generator=g, device=DEVICE).to(dtype).requires_grad_()
    tokens, weights = torch.randint(width, (6,), generator=g, device=DEVICE), torch.rand(6, device=DEVICE, generator=g)
    hidden.requires_grad_()
    results = []
    for available in (True, False):
        monkeypatch.setattr(kernels, "available", lambda logits, available=available: available)
        result = intro_loss(hidden, posterior_hidden, lm_head, tokens, weights, n=n, clip=3.0, generator=seeded(9))
        results.append((result.loss, result.correction, *torch.autograd.grad(result.loss, [hidden, lm_head])))
    precision = {"rtol": 1e-4, "atol": 1e-5} if dtype == torch.float32 else {"rtol": 2e-2, "atol": 1e-3}
    for a, b in zip(*results, strict=True):
        torch.testing.assert_close(a, b, **precision)


@pytest.mark.gpu
@NEEDS_GPU
def test_more_numbers_than_32_bits_count() -> None:
    """The last row of a chunk beyond 2^31 numbers is where it should be."""
    rows = 2**31 // QWEN + 2
    if torch.cuda.mem_get_info()[0] < 2 * 4 * rows * QWEN:
        pytest.skip("needs 18 GB of free GPU memory")
    p = torch.zeros(rows, QWEN, device=DEVICE)
    p[-1, 5] = 20.0
    columns = torch.full((rows, 1), 5, device=DEVICE)
    logp = kernels.softmax_(p, columns)
    torch.testing.assert_close(p[-1, 5].log(), logp[-1, 0])
    assert kernels.draw(p, torch.full((rows, 1), 0.5, dtype=torch.float64, device=DEVICE))[-1] == 5
    out = kernels.gradient_(p, torch.zeros(rows, device=DEVICE), columns, torch.ones_like(logp), torch.bfloat16)
    assert out[-1, 5] == 1 and out[-1].sum() == 1


# ---------------------------------------------------------------- what needs no device


@pytest.mark.skipif(INTERPRETED, reason="Triton interprets in this process")
def test_kernels_compile_without_a_gpu(tmp_path: Path, monkeypatch) -> None:
    """Down to a GPU's machine code: what the interpreter accepts and the compiler does not is seen on any machine."""
    triton = pytest.importorskip("triton", reason="needs Triton")
    from triton.backends.compiler import GPUTarget
    from triton.compiler import ASTSource

    from intro.model.kernels import triton_kernels

    monkeypatch.setenv("TRITON_CACHE_DIR", str(tmp_path))
    by_name = {"width": "i32", "blocks": "i32", "k": "i32", "log_clip": "fp32", "columns": "*i64", "clipped": "*i32"}
    by_name |= {"sums": "*fp64", "u": "*fp64", "out": "*bf16", "BLOCK": "constexpr", "BLOCKS": "constexpr"}
    names = ("softmax_rows", "block_sums", "draw_columns", "gradient_rows", "clipped_cross_entropy_rows")
    for kernel in (getattr(triton_kernels, name) for name in names):
        signature = {name: by_name.get(name, "*fp32") for name in kernel.arg_names}
        constants = {name: 1024 for name, kind in signature.items() if kind == "constexpr"}
        source = ASTSource(fn=kernel, signature=signature, constexprs=constants)
        made = triton.compile(source, target=GPUTarget("cuda", 90, 32), options={"num_warps": 4})
        assert made.asm["cubin"]


@pytest.mark.skipif(INTERPRETED, reason="Triton is wanted in this process")
def test_triton_is_not_imported_on_cpus() -> None:
    """Importing the log-probabilities, and asking for kernels on a CPU, does not import Triton."""
    code = (
        "import sys, torch; from intro.model import logprobs; one = torch.ones(2, 3);"
        "logprobs.token_logprobs(one, one, torch.tensor([0, 1]));"
        "print('triton' in sys.modules, logprobs.kernels.available(one))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["False", "False"]


@on_device
def test_which_rows_are_supported() -> None:
    """Rows that are not contiguous fp32 are computed in plain torch."""
    rows = torch.ones(4, 6, device=DEVICE)
    assert kernels.available(rows) and kernels.available(rows[1:3])
    assert not any(kernels.available(r) for r in (rows.double(), rows.bfloat16(), rows.t(), rows[:, 1:]))


# ---------------------------------------------------------------- which of the two


def test_torch_is_the_default_and_the_config_selects_triton(monkeypatch: pytest.MonkeyPatch) -> None:
    """No GPU has run the kernels, so they are used only where a config selects them."""
    assert Hardware().kernels == "torch" and not Hardware().cuda_graphs
    kernels.select(Hardware().kernels)
    monkeypatch.setenv("TRITON_INTERPRET", "1")
    monkeypatch.setattr(kernels, "_triton", lambda: kernels)  # no import of Triton here
    rows = torch.zeros(2, 3)
    assert not kernels.available(rows)
    kernels.select("triton")
    assert kernels.available(rows) and not kernels.available(rows.double())
