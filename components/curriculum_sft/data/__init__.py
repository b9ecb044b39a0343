"""What is trained on: samples, preference pairs, their mixture, their checks, and batches of them."""
