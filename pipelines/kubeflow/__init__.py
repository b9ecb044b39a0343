"""Runs on Kubeflow Pipelines: submit, follow, run again, schedule, logs. A thin use of the kfp SDK's own client."""
