"""Reported values beside the reference's and this run's; the audit of the reported tables."""
