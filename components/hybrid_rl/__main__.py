"""The container's entry point: `python -m components.hybrid_rl`."""

from components.core.stage.entry import main

if __name__ == "__main__":
    main("hybrid_rl")
