"""The paper's claims, what they estimate, and their verdicts."""
