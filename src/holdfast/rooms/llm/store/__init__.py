"""Tables, scripts and formats of the llm room."""
