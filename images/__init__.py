"""Container images: one Dockerfile for all stages, the tool that builds them, bills of materials."""
