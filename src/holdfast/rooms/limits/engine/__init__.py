"""What carries it out: admission, the ledgers in process and shared, the shedder."""
