"""Question-answer synthesis: a teacher writes questions about each image, then evolves them round by round."""
