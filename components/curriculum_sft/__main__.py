"""The container's entry point: `python -m components.curriculum_sft`."""

from components.core.stage.runner import main

if __name__ == "__main__":
    main("curriculum_sft")
