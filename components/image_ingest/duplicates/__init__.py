"""Equal and nearly equal pictures: perceptual hash, embeddings, exact search, and which one of them stays."""
