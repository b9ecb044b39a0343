"""The container's entry point: `python -m components.evaluation`."""

from components.core.stage.entry import main

if __name__ == "__main__":
    main("evaluation")
