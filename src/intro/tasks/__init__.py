"""Problems, corpora and graders. `registry.load_source` opens the configured source."""
