"""Pipeline stages: one package a stage, and `core`, which they share."""
