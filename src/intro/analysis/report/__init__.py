"""The HTML report and the terminal summary; tracing and publishing results."""
