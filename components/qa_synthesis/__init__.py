"""Question-answer synthesis: a teacher writes questions about each image and evolves them in rounds."""
