"""Find the scene behind a picture by the hash of its pixels."""

from __future__ import annotations

import hashlib
import io
import json
from collections.abc import Iterable
from pathlib import Path

from PIL import Image

from demo.world.scene import Scene


def pixel_hash(picture: Image.Image) -> str:
    """sha256 over size and RGB bytes: the same for every lossless encoding of the same pixels."""
    rgb = picture.convert("RGB")
    return hashlib.sha256(f"{rgb.width}x{rgb.height}:".encode() + rgb.tobytes()).hexdigest()


class WorldIndex:
    """pixel hash -> Scene. Saved as JSON lines `{"pixels": hash, "scene": {...}}`, sorted by hash."""

    def __init__(self, scenes: dict[str, Scene]):
        self._scenes = scenes

    def __len__(self) -> int:
        return len(self._scenes)

    @classmethod
    def build(cls, pictures: Iterable[tuple[Image.Image, Scene]]) -> WorldIndex:
        """Index rendered pictures."""
        return cls({pixel_hash(picture): scene for picture, scene in pictures})

    def save(self, path: Path) -> None:
        """Write the whole index."""
        with path.open("w", encoding="utf-8") as file:
            for key, scene in sorted(self._scenes.items()):
                file.write(
                    json.dumps({"pixels": key, "scene": json.loads(scene.to_json())}, sort_keys=True) + "\n"
                )

    @classmethod
    def load(cls, path: Path) -> WorldIndex:
        """Read what `save` wrote."""
        scenes = {}
        with path.open(encoding="utf-8") as file:
            for line in file:
                row = json.loads(line)
                scenes[row["pixels"]] = Scene.from_json(json.dumps(row["scene"]))
        return cls(scenes)

    def lookup(self, image_bytes: bytes) -> Scene | None:
        """The scene behind an encoded picture, or None for a picture that is not of this world.

        Raises PIL.UnidentifiedImageError when the bytes are no picture at all.
        """
        with Image.open(io.BytesIO(image_bytes)) as picture:
            return self._scenes.get(pixel_hash(picture))
