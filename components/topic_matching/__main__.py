"""The container's entry point: `python -m components.topic_matching`."""

from components.core.stage.entry import main

if __name__ == "__main__":
    main("topic_matching")
