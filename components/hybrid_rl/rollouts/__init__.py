"""Rollouts: which questions are drawn, in which order, how responses are generated and recorded."""
