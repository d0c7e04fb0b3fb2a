"""Ground floor: provenance, whole files, named seeds, GPUs."""
