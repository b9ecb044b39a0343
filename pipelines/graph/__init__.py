"""The pipeline as Kubeflow sees it: tasks, components, pods, and the compiled file as data."""
