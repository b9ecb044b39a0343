"""Settings of topic_matching."""

from __future__ import annotations

from pydantic import Field

from components.core.stage.settings import OPERATIONAL, Embedder, Endpoint, Settings


class Config(Settings):
    """Settings of the matching of images to topics."""

    model: Endpoint
    """The model that sees the picture and chooses among the candidates (unused when `fine` is off)."""
    embedder: Embedder
    """The model that embeds captions; the same one that embedded the label tree."""
    fine: bool = True
    """Let the model choose third-level topics; off: those nearest to the caption are taken."""
    coarse_topics: int = Field(default=3, ge=1)
    """Second-level topics of each dimension whose children become candidates."""
    max_topics: int = Field(default=4, ge=1)
    """Third-level topics an image is matched to, at most."""
    min_similarity: float = Field(default=0.0, ge=-1, le=1)
    """Cosine of caption and topic below which a topic is no candidate."""
    block_images: int = Field(default=256, ge=1)
    """Images searched and asked about at a time."""
    block_topics: int = Field(default=4096, ge=1, json_schema_extra=OPERATIONAL)
    """Topics of one block of the search; memory grows with block_images × block_topics."""
    max_answer_tokens: int = Field(default=512, ge=16)
    """Limit of one answer, in tokens."""

    def unread(self) -> tuple[str, ...]:
        """The model, where the nearest topics are taken."""
        return () if self.fine else ("model",)
