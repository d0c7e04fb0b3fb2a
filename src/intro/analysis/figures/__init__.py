"""One short file per figure; every `draw` takes the inputs and returns a matplotlib figure."""
