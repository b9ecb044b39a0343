"""Datasets on disk: table schemas, manifests, pictures, pinned references, mapping over shards."""
