"""Run profiles: the settings and resources of a run, from YAML, checked before anything starts."""
