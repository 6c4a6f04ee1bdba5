"""Pure decisions of the llm room."""
