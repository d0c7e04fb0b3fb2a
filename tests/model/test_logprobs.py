"""Log-probabilities of tokens against their definition, in every precision."""

from __future__ import annotations

import torch
from torch import Tensor

from intro.model.logprobs import log_distribution, token_logprobs
from toy import plain_logp

N, D, V = 6, 5, 11  # positions, width, vocabulary


def case(seed: int, dtype: torch.dtype = torch.float64) -> tuple[Tensor, Tensor, Tensor]:
    """Hidden states [N, D] and a head [V, D], both differentiable, and tokens [N]."""
    g = torch.Generator().manual_seed(seed)
    hidden, head = (torch.randn(rows, D, generator=g, dtype=torch.float64).to(dtype) for rows in (N, V))
    return hidden.requires_grad_(), head.requires_grad_(), torch.randint(V, (N,), generator=g)


def test_reduced_precision_input_keeps_precise_logs() -> None:
    """bf16 logits are summed and normalised in fp32, fp64 ones in fp64: noise in log p would be multiplied by w."""
    for dtype, wanted in ((torch.bfloat16, torch.float32), (torch.float64, torch.float64)):
        hidden, head, tokens = case(6, dtype)
        logp = log_distribution(hidden, head)
        assert logp.dtype == wanted
        exact = plain_logp(hidden.double(), head.double())  # logits rounded to bf16 would be off by 1e-2
        torch.testing.assert_close(logp, exact.to(wanted), rtol=1e-5, atol=1e-5)
        of_tokens = token_logprobs(hidden, head, tokens)
        assert of_tokens.dtype == wanted
        torch.testing.assert_close(of_tokens, logp.gather(1, tokens[:, None]).squeeze(1), rtol=1e-5, atol=1e-5)


def test_token_logprobs_against_the_definition() -> None:
    """Values equal the definition's, and fp64 gradients equal finite differences."""
    hidden, head, tokens = case(9)
    logp = plain_logp(hidden, head).detach()
    got = token_logprobs(hidden, head, tokens)
    torch.testing.assert_close(got, torch.stack([logp[j, v] for j, v in enumerate(tokens)]))
    assert torch.autograd.gradcheck(lambda h, w: token_logprobs(h, w, tokens), (hidden, head))


def test_second_backward_pass_through_one_graph() -> None:
    """The first pass overwrites the buffer; the second gives the same gradient."""
    hidden, head, tokens = case(5)
    loss = token_logprobs(hidden, head, tokens).sum()
    first, second = (torch.autograd.grad(loss, hidden, retain_graph=True)[0] for _ in range(2))
    torch.testing.assert_close(first, second)
