"""The tiny world: an arithmetic language with problems, a corpus and exact grading."""
