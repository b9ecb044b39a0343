"""What a run will need before it runs: memory of each GPU by part, requests, tokens, hours, disk."""
