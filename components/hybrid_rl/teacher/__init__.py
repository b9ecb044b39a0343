"""A teacher in place of rewards, or beside them: its word on the student's own samples, token by token."""
