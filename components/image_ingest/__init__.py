"""Verifies, orients, deduplicates, decontaminates and splits a folder of images."""
