"""Triton kernels for rows of logits, and the functions that start them."""
