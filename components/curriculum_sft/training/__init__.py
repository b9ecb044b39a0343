"""The parts of a training run that all objectives share: model, optimizer, trainer, loop, probes."""
