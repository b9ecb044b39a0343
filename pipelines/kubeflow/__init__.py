"""Runs on Kubeflow Pipelines by the kfp SDK's own client: submit, follow, run again, schedule, logs."""
