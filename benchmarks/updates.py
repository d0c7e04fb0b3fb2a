"""What the benchmarks of the update work on: models of published shapes with random weights, random rationales.

Needs torch, transformers and this package's update, none of its config or workflow.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Generator, Tensor, nn
from torch.nn import functional as F
from transformers import AutoModelForCausalLM, Qwen2Config

from intro.model.scoring import Rationale, head_of, pack, response_hidden
from intro.objectives import Objective, build
from intro.training.samples import Sample

# published: hidden, MLP, layers, heads, KV heads, vocabulary, tied head
SHAPES = {
    "Qwen2.5-1.5B": (1536, 8960, 28, 12, 2, 151_936, True),
    "Qwen2.5-7B": (3584, 18_944, 28, 28, 4, 152_064, False),
    "tiny": (128, 512, 4, 4, 2, 40, True),  # not published: the tiny world's
    "small": (256, 512, 2, 4, 2, 4096, True),  # not published: what a CPU carries at any length
}
OBJECTIVES: dict[str, Objective] = {
    "sft": build("sft"),
    "intro": build("intro"),
    "exact intro": build("intro", n="infinite"),
    "grpo": build("grpo"),
}


def model_of(
    shape: str, *, layers: int | None = None, vocabulary: int | None = None, dtype: str = "float32", device: str = "cpu"
) -> nn.Module:
    """A causal LM of a published shape, its weights random; fewer layers or another vocabulary where given."""
    hidden, mlp, depth, heads, kv_heads, published, tied = SHAPES[shape]
    config = Qwen2Config(
        hidden_size=hidden,
        intermediate_size=mlp,
        num_hidden_layers=layers or depth,
        num_attention_heads=heads,
        num_key_value_heads=kv_heads,
        vocab_size=vocabulary or published,
        tie_word_embeddings=tied,
        max_position_embeddings=32_768,
        rope_theta=1e6,
        bos_token_id=None,
        eos_token_id=0,
    )
    torch.manual_seed(0)
    with torch.device(device):
        model = AutoModelForCausalLM.from_config(config, dtype=getattr(torch, dtype), attn_implementation="sdpa")
    return model.eval()


def sample_of(prompts: int, group: int, prompt: int, response: int, vocabulary: int, seed: int = 0) -> Sample:
    """P prompts with G rationales each, all of them right: what the update of a step gets."""
    g = Generator().manual_seed(seed)

    def tokens(count: int) -> tuple[int, ...]:
        return tuple(torch.randint(1, vocabulary, (count,), generator=g).tolist())

    rationales = []
    for p in range(prompts):
        x, answer = tokens(prompt), tokens(8)  # x (+) y is eight tokens longer
        rationales += [Rationale(x, tokens(response), p, (*x, *answer)) for _ in range(group)]
    truncated = torch.zeros(prompts, group, dtype=torch.bool)
    return Sample(rationales, torch.ones(prompts, group), truncated, prompts * group * response, None)


# ---------------------------------------------------------------- the same losses by others


def _through(model: nn.Module, rows: Sequence[Rationale], told: bool = False) -> Tensor:
    """Hidden states [N, d] that predict the responses, with the answer in the prompt or without."""
    return response_hidden(model, [r.posterior_prompt if told else r.prompt for r in rows], [r.tokens for r in rows])


def _back(loss: Tensor, model: nn.Module) -> None:
    loss.backward()
    model.zero_grad(set_to_none=True)


def cross_entropy_step(model: nn.Module, sample: Sample) -> None:
    """SFT as one writes it by hand: all logits at once, torch's cross entropy."""
    tokens, _ = pack(sample.rationales)
    hidden = _through(model, sample.rationales)
    _back(F.cross_entropy(F.linear(hidden, head_of(model)).float(), tokens.to(hidden.device)), model)


def naive_intro(model: nn.Module, sample: Sample, n: int = 5, clip: float = 200.0) -> None:
    """Eq. 7 as one writes it by hand: both distributions whole, a tensor [N, V] for each step of the formula."""
    tokens, _ = pack(sample.rationales)
    logp = F.linear(_through(model, sample.rationales), head_of(model)).float().log_softmax(-1)
    with torch.no_grad():
        told = F.linear(_through(model, sample.rationales, told=True), head_of(model)).float().log_softmax(-1)
        w = (told - logp).exp().clamp(max=clip)
        drawn = torch.multinomial(logp.exp(), n - 1, replacement=True)
        columns = torch.cat([tokens.to(logp.device)[:, None], drawn], 1)
    _back(-(w.gather(1, columns) * logp.gather(1, columns)).mean(), model)


def trl_grpo(model: nn.Module, sample: Sample) -> None:
    """The policy gradient through TRL's head in tiles, with the arguments of its GRPOTrainer; no reference."""
    from trl.kernels import ChunkedLogProbFunction
    from trl.trainer.utils import _CHUNKED_LOGPROB_CHUNK_SIZE as TILE

    tokens, _ = pack(sample.rationales)
    hidden = _through(model, sample.rationales)
    asked = ("log_probs", "entropy")
    found = ChunkedLogProbFunction.apply(
        hidden, head_of(model), None, tokens.to(hidden.device), 1.0, TILE, None, 1.0, asked
    )
    _back(-found[0].mean(), model)


def trl_sdft(model: nn.Module, sample: Sample) -> None:
    """TRL's distillation over the whole vocabulary, which makes the logits of both passes."""
    from trl.experimental.sdft.loss_utils import compute_full_logit_self_distillation_loss as distance

    with torch.no_grad():
        told = F.linear(_through(model, sample.rationales, told=True), head_of(model))
    logits = F.linear(_through(model, sample.rationales), head_of(model))
    _back(distance(logits, told, distillation_alpha=1.0).mean(), model)
