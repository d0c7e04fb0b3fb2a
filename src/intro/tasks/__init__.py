"""Problems, corpora and judges. `registry.load_source` is the way in."""
