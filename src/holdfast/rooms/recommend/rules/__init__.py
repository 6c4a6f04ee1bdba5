"""What a recommendation may and must be, decided purely: no clock, no randomness, no I/O."""
