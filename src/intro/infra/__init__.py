"""What every package may use: atomic files, digests, provenance, named seeds, GPUs."""
