from __future__ import annotations

import io

import numpy as np
import pytest
from PIL import Image

from components.image_ingest.checks.decontaminate import BenchmarkImages, collect
from components.image_ingest.checks.verify import Stored, verify
from components.image_ingest.config import OFF, Config
from components.image_ingest.duplicates.phash import phash

CONFIG = Config()


def found(benchmarks: BenchmarkImages, data: bytes, bits: int = OFF) -> str | None:
    image = verify(data, CONFIG)
    assert isinstance(image, Stored)
    return benchmarks.find(image, phash(image.thumbnail)[0], bits)


def pictures() -> dict[str, Image.Image]:
    rng = np.random.default_rng(3)
    noise = rng.integers(0, 256, (200, 320, 3), dtype=np.uint8)
    ramp = np.linspace(0, 255, 320).astype(np.uint8)
    return {
        "flat": Image.new("RGB", (320, 200), (250, 3, 90)),
        "noise": Image.fromarray(noise),
        "saturated": Image.fromarray(np.where(noise > 127, 255, 0).astype(np.uint8)),
        "ramp": Image.fromarray(np.broadcast_to(ramp[None, :, None], (200, 320, 3)).copy()),
        "grey": Image.fromarray(np.broadcast_to(ramp, (200, 320)).copy()),
    }


@pytest.mark.parametrize("name", pictures())
@pytest.mark.parametrize("quality", [30, 95])
def test_equal_pixels_are_found_in_whatever_encoding(encode, name, quality) -> None:
    """The benchmark holds a JPEG's pixels as a PNG; the run hashes the JPEG, decoded at another scale."""
    others = [
        (f"other {other}", encode(image, "PNG")) for other, image in pictures().items() if other != name
    ]
    jpeg = encode(pictures()[name], "JPEG", quality=quality)
    with Image.open(io.BytesIO(jpeg)) as image:
        png = encode(image, "PNG")
    benchmarks, skipped = collect([*others, ("item", png)], CONFIG)
    assert not skipped
    assert found(benchmarks, jpeg) == "item pixels equal"
    reverse, _ = collect([*others, ("item", jpeg)], CONFIG)
    assert found(reverse, png) == "item pixels equal"


def test_other_pixels_are_not(encode, photograph) -> None:
    benchmarks, _ = collect([("item", encode(photograph, "PNG"))], CONFIG)
    touched = photograph.copy()
    touched.putpixel((5, 5), (0, 255, 0))
    assert found(benchmarks, encode(touched, "PNG")) is None
    assert found(benchmarks, encode(touched, "PNG"), bits=4) == "item distance=0"
    assert found(BenchmarkImages(), encode(touched, "PNG"), bits=4) is None


def test_what_could_not_be_an_image_of_the_run_is_named(encode, photograph) -> None:
    benchmarks, skipped = collect([("a", b"no image"), ("b", encode(photograph, "PNG"))], CONFIG)
    assert benchmarks.names == ("b",)
    assert skipped == ["a (not_an_image)"]
