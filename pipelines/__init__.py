"""The pipeline and its command line: compile for Kubeflow, run the same compiled pipeline on one machine."""
