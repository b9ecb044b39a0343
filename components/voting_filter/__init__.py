"""Voting filter: independent models answer every question, and only items they confirm go on."""
