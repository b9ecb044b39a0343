"""Two models to chat with, and a picture."""

from tests.pipelines.serving.conftest import checkpoints, png  # noqa: F401 - fixtures
