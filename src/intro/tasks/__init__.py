"""Problems, corpora and judges. `load_source` is the way in."""

from intro.tasks.registry import TaskSource, load_source

__all__ = ["TaskSource", "load_source"]
