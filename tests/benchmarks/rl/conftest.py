from tests.components.conftest import coloured_pictures, tiny_checkpoint  # noqa: F401
