"""The container's entry point: `python -m components.label_tree`."""

from components.core.stage.entry import main

if __name__ == "__main__":
    main("label_tree")
