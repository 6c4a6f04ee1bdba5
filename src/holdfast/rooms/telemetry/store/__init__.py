"""The event log on disk: segments written, sealed, turned into Parquet, swept and read back."""
