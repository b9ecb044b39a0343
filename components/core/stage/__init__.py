"""What makes a folder a stage: command line, settings, context, report, log, errors, container image."""
