"""A causal language model as a distribution: checkpoints, tokenizer, log-probabilities, packing."""
