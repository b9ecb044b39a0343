"""What every stage shares: contract, manifests and tables, storage, model client, VLM loading, report."""
