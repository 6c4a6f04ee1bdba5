"""Models that score a catalogue: closed-form collaborative filters, content, persona, and their back-test.

Every model is immutable once fitted, numbers its items 0..n_items-1 as it was given them, and can be
taken apart (`arrays()`) and put together again (`from_arrays()`). Scores of different models are on
different scales: whoever blends them normalises first. Needs numpy and SciPy, the `recommend` extra.
"""
