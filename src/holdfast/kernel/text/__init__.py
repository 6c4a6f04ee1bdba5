"""What text is made of: characters as a reader sees them, sentences, terms to compare texts by."""
