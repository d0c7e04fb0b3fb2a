"""PyTorch and DeepSpeed behind one interface."""
