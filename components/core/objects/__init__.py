"""Object storage: a directory or an S3 bucket behind one interface."""
