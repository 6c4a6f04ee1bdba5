"""Experiments at work: exposures, sums, looks."""
