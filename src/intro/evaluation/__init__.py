"""Generation and grading of benchmark responses, the judge model, the posterior's divergence."""
