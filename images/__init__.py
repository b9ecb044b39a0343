"""Container images: a Dockerfile a stage, the tool that builds them, bills of materials."""
