"""What work costs: estimated before a run, measured on an update."""
