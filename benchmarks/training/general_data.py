"""From general data on disk to checked samples: planned from headers, against encoding everything first.

    python -m benchmarks.training.general_data [--samples 4000] [--encoded 400]

Every sample has one 640 x 480 px JPEG (300 vision tokens at Qwen3-VL's patch size) and four turns, written in
four formats, seed 0. Measured for each, in samples a second on one core:

- `read`: records read and measured.
- `plan`: samples planned by tokenizing them.
- `replan`: samples planned again by a stage that was killed.

Peer: `datasets.map` with the same processor over LLaVA's file, in one process, as trainers do that encode
multimodal data before they start. Also measured: the bytes that it leaves on disk for one sample. Target:
reading and planning at least 10 times as fast as encoding.
"""

from __future__ import annotations

import argparse
import base64
import io
import json
import tempfile
from pathlib import Path
from typing import Any

import datasets
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from PIL import Image

from benchmarks.harness import result, timed
from components.core.conversations import GeneralData, open_general
from components.core.conversations.pictures import Sizes
from components.core.resume.journal import Journal
from components.core.vlm import build_processor, vision_token_count
from components.curriculum_sft.data.batches import answer_finder
from components.curriculum_sft.data.checks import Planner, partition
from components.curriculum_sft.data.prepare import read_general
from demo.base.tokenizer import build_tokenizer

SIZE_PX = (640, 480)
PICTURES = 200


def write(root: Path, samples: int) -> dict[str, Path]:
    """The same samples in every format; returns a folder for each."""
    rng = np.random.default_rng(0)
    pictures = []
    for _ in range(PICTURES):
        coarse = Image.fromarray(rng.integers(0, 256, (12, 16, 3), dtype=np.uint8))
        buffer = io.BytesIO()
        coarse.resize(SIZE_PX, Image.Resampling.BICUBIC).save(buffer, "JPEG", quality=90)
        pictures.append(buffer.getvalue())
    folders = {name: root / name for name in ("llava", "data_uris", "parquet", "saved")}
    for folder in folders.values():
        folder.mkdir(parents=True)
    for number, data in enumerate(pictures):
        (folders["llava"] / f"{number}.jpg").write_bytes(data)
    words = ["red", "green", "blue", "left", "right", "circle", "square", "number", "shape", "digit"]

    def turns() -> list[dict[str, str]]:
        said = [" ".join(rng.choice(words, 12 if n % 2 == 0 else 30)) for n in range(4)]
        said[0] = "<image>\n" + said[0]
        return [{"from": "gpt" if n % 2 else "human", "value": text} for n, text in enumerate(said)]

    records = [turns() for _ in range(samples)]
    llava = [{"image": f"{n % PICTURES}.jpg", "conversations": r} for n, r in enumerate(records)]
    (folders["llava"] / "mix.json").write_text(json.dumps(llava))
    with open(folders["data_uris"] / "mix.jsonl", "w") as file:
        for n, record in enumerate(records):
            uri = "data:image/jpeg;base64," + base64.b64encode(pictures[n % PICTURES]).decode()
            file.write(json.dumps({"image": uri, "conversations": record}) + "\n")
    table = pa.Table.from_pylist(
        [
            {"image": {"bytes": pictures[n % PICTURES], "path": None}, "conversations": record}
            for n, record in enumerate(records)
        ]
    )
    pq.write_table(table, folders["parquet"] / "train-00000.parquet", row_group_size=100)
    datasets.Dataset(table).save_to_disk(str(folders["saved"] / "set"))
    return folders


def planner_for(processor: Any, general: GeneralData, kept: Journal) -> Planner:
    """As the stage makes it."""
    tokenizer, find = processor.tokenizer, answer_finder(processor)
    return Planner(
        tokenize=lambda turns: tokenizer(processor.apply_chat_template(turns, tokenize=False))["input_ids"],
        vision_tokens=lambda height, width: vision_token_count(processor, height, width),
        sizes=Sizes({}, general.stores),
        control_tokens=[str(token) for token in tokenizer.added_tokens_decoder.values() if token.special],
        max_length_tokens=4096,
        count_answers=lambda ids: len(find(ids)),
        image_token=processor.image_token_id,
        kept=kept,
    )


def encode_all(folder: Path, processor: Any, samples: int, cache: Path) -> tuple[float, float]:
    """Samples a second of `datasets.map` with the processor, and bytes on disk for one sample."""
    rows, _ = read_general(open_general(folder))
    few = datasets.Dataset.from_list(
        [{"messages": row["messages"], "path": row["image_ids"][0]} for row in rows[:samples]]
    )

    def encode(row: dict[str, Any]) -> dict[str, Any]:
        text = processor.apply_chat_template(json.loads(row["messages"]), tokenize=False)
        picture = Image.open(folder / row["path"].removeprefix("path:"))
        batch = processor(text=[text], images=[[picture]], return_tensors="np")
        return {"input_ids": batch["input_ids"][0], "pixel_values": batch["pixel_values"]}

    _, seconds = timed(lambda: few.map(encode, cache_file_name=str(cache), remove_columns=few.column_names))
    return samples / seconds, cache.stat().st_size / samples


def main() -> None:
    """Measure every format and the peer."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--samples", type=int, default=4000)
    parser.add_argument("--encoded", type=int, default=400, help="samples that are encoded for comparison")
    options = parser.parse_args()
    datasets.disable_progress_bars()
    processor = build_processor(build_tokenizer())
    with tempfile.TemporaryDirectory() as name:
        folders = write(Path(name) / "sets", options.samples)
        rates: dict[str, dict[str, float]] = {}
        for form, folder in folders.items():
            general = open_general(folder)
            (rows, bad), read_s = timed(lambda general=general: read_general(general))  # type: ignore[misc]
            assert len(rows) == options.samples and not bad, bad[:3]
            seconds = [read_s]
            for _ in range(2):
                journal = Journal(Path(name) / f"{form}.jsonl")
                planner = planner_for(processor, general, journal)
                (good, rejected), plan_s = timed(lambda rows=rows, planner=planner: partition(rows, planner))  # type: ignore[misc]
                assert len(good) == options.samples and not rejected, rejected[:3]
                seconds.append(plan_s)
                journal.close()
            rates[form] = {
                step: round(options.samples / s)
                for step, s in zip(("read", "plan", "replan"), seconds, strict=True)
            }
        encoded, size = encode_all(folders["llava"], processor, options.encoded, Path(name) / "map.arrow")
    for rate in rates.values():
        whole = 1 / (1 / rate["read"] + 1 / rate["plan"])
        rate["times_encoding"] = round(whole / encoded, 1)
    result(
        "general_data",
        samples=options.samples,
        samples_per_s=rates,
        encoding_samples_per_s=round(encoded, 1),
        encoding_bytes_per_sample=round(size),
    )


if __name__ == "__main__":
    main()
