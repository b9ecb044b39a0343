"""The demo's base model: a tiny vision-language model that sees and knows nothing of the domain."""
