"""Checks everything a run depends on before it costs anything, and pins what comes from outside."""
