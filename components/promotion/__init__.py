"""The gate: whether a run's final model is promoted, and the registry that holds promoted versions."""
