"""Object storage: transfers and the mirror of work directories."""
