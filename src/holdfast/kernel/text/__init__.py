"""What text is made of: characters as a reader sees them, sentences, and the terms that texts are compared by."""
