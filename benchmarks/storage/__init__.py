"""Object storage: transfers and the snapshots of work directories."""
