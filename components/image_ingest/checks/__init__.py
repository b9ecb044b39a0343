"""Checks of single pictures (decoding, metadata, benchmark images), and the parallel scan."""
