"""Checks everything a run depends on before it costs anything, and pins its outside sources."""
