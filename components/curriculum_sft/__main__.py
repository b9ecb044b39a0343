"""The container's entry point: `python -m components.curriculum_sft`."""

from components.core.stage.entry import main

if __name__ == "__main__":
    main("curriculum_sft")
