"""What runs an update: plain PyTorch, or DeepSpeed over several processes."""
