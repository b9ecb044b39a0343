"""Quantised export of a finished checkpoint, measured, with a recipe to serve it."""
