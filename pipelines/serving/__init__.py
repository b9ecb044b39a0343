"""Serving a checkpoint behind the OpenAI API: which one, by which engine, switched without a request lost."""
