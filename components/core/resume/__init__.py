"""Progress that survives a kill: journals and work directories, and their snapshots in object storage."""
