"""The container's entry point: `python -m components.ids_scoring`."""

from components.core.stage.entry import main

if __name__ == "__main__":
    main("ids_scoring")
