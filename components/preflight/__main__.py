"""The container's entry point: `python -m components.preflight`."""

from components.core.stage.runner import main

if __name__ == "__main__":
    main("preflight")
