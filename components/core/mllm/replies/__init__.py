"""What endpoints answer, read: replies, JSON in text, and refusals."""
