"""The time, FLOPs and memory of one update, measured."""
