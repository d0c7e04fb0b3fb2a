"""Graders of responses: mathematics, programs, multiple choice, instructions."""
