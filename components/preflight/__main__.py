"""The container's entry point: `python -m components.preflight`."""

from components.core.stage.entry import main

if __name__ == "__main__":
    main("preflight")
