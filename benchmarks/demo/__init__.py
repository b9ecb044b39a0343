"""The demo's stages against stated targets."""
