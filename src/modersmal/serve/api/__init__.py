"""The HTTP interface that OpenAI's clients speak, and what watches over a server."""
