"""What carries the decisions of the llm room out."""
