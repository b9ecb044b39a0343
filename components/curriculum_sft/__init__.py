"""Curriculum fine-tuning: domain knowledge, restored general ability, preferences; one stage, used thrice."""
