"""Published benchmarks and training sets, from the Hub or from a mirror."""
