"""Scores how much each image holds (Information Density Score) and allots questions accordingly."""
