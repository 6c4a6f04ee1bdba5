"""What carries conversations out: claims, answers, streams, folding, recall, upkeep."""
