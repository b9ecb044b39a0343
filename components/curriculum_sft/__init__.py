"""Curriculum fine-tuning: domain knowledge, restored general ability, preference alignment; one component, used thrice."""
