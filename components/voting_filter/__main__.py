"""The container's entry point: `python -m components.voting_filter`."""

from components.core.stage.entry import main

if __name__ == "__main__":
    main("voting_filter")
