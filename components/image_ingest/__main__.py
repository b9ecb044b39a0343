"""The container's entry point: `python -m components.image_ingest`."""

from components.core.stage.entry import main

if __name__ == "__main__":
    main("image_ingest")
