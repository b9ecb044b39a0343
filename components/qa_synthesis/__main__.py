"""The container's entry point: `python -m components.qa_synthesis`."""

from components.core.stage.entry import main

if __name__ == "__main__":
    main("qa_synthesis")
