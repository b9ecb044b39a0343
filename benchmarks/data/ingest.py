"""image_ingest against img2dataset and Hugging Face datasets' imagefolder -> Parquet, on the same JPEG files.

    python -m benchmarks.data.ingest [--scale 1.0] [--repeats 3]

Data: 20,000 x scale JPEGs of 640 x 480, kept in build/bench/ingest: smooth random colours with grain, quality
85, seed = number of the file. One in fifty is another one at quality 60: a planted near duplicate, counted
again in the output.

Each runs as a process of its own, in turn, so that a busy machine slows all alike.

- img2dataset, in a virtual environment of its own, downloads the files from a loopback HTTP server and writes
  Parquet.
- `datasets` runs twice: as it is (it copies bytes and decodes nothing), and with a pass that decodes every
  picture.
- Ours verifies, hashes, searches near duplicates and writes. Its peak memory is the sum over its processes,
  at a quarter of the files and at all of them.

Target: at least 500 images/s on two cores, 1.5 times either peer, peak memory flat within 15 % from 5,000 to
20,000.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import statistics
import subprocess
import sys
import time
from pathlib import Path

from benchmarks.data.ingest_pictures import planted, write_pictures
from benchmarks.harness import RESULTS, peak_memory, result

FOLDER = RESULTS / "ingest"
PEER_VENV = RESULTS / "img2dataset-venv"
IMAGES = 20_000
_DATASETS = """
import sys
from datasets import load_dataset
from datasets.table import embed_table_storage
found = load_dataset("imagefolder", data_dir=sys.argv[1], split="train", cache_dir=sys.argv[2])
if sys.argv[3] == "decode":
    def check(batch):
        for image in batch["image"]:
            image.load()
    found.map(check, batched=True, batch_size=100, num_proc=2)
kept = found.format
found = found.with_format("arrow").map(embed_table_storage, batched=True, batch_size=100).with_format(**kept)
found.to_parquet(sys.argv[2] + "/out.parquet")
"""


def ours(files: Path, out: Path) -> list[str]:
    """Command line of our stage."""
    paths = {
        "images": "images",
        "rejected": "rejected",
        "enough": "enough",
        "metrics": "metrics.json",
        "report": "report.html",
    }
    outputs = [part for name, path in paths.items() for part in (f"--{name}", str(out / path))]
    command = [sys.executable, "-m", "components.image_ingest", "--config", "{}", "--benchmarks", "[]"]
    return [*command, "--source", str(files), *outputs]


def datasets(files: Path, out: Path, decode: bool) -> list[str]:
    """Command line of Hugging Face datasets."""
    return [sys.executable, "-c", _DATASETS, str(files), str(out), "decode" if decode else "copy"]


def img2dataset(urls: Path, out: Path) -> list[str]:
    """Command line of img2dataset; it is installed where it is missing."""
    program = PEER_VENV / "bin" / "img2dataset"
    if not program.exists():
        subprocess.run([sys.executable, "-m", "venv", str(PEER_VENV)], check=True)
        subprocess.run([PEER_VENV / "bin" / "pip", "install", "-q", "img2dataset"], check=True)
    options = {
        "url_list": urls,
        "output_folder": out / "out",
        "output_format": "parquet",
        "resize_mode": "no",
        "processes_count": 2,
        "thread_count": 32,
        "compute_hash": "sha256",
        "number_sample_per_shard": 1000,
    }
    return [str(program), *(f"--{name}={value}" for name, value in options.items())]


def run(command: list[str], out: Path) -> tuple[float, float]:
    """Run a command in a fresh folder; wall seconds and peak memory of its processes in MB."""
    shutil.rmtree(out, ignore_errors=True)
    out.mkdir(parents=True)
    environment = {
        **os.environ,
        "VLM_WORK_ROOT": str(out / "work"),
        "HF_HOME": str(out),
        "OMP_NUM_THREADS": "1",
    }
    environment |= {"NO_ALBUMENTATIONS_UPDATE": "1", "HF_DATASETS_OFFLINE": "1"}
    started = time.perf_counter()
    with open(out / "log", "wb") as log:
        process = subprocess.Popen(command, env=environment, stdout=log, stderr=log)
        with peak_memory(process.pid) as memory:
            code = process.wait()
    seconds = time.perf_counter() - started
    if code:
        raise SystemExit(
            f"{command[:3]} ended with {code}:\n{(out / 'log').read_text(errors='replace')[-3000:]}"
        )
    return seconds, memory["peak_mb"]


def main() -> None:
    """Measure and report."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--scale", type=float, default=1.0)
    parser.add_argument("--repeats", type=int, default=3)
    arguments = parser.parse_args()
    count = max(200, round(IMAGES * arguments.scale))
    all_, quarter = FOLDER / f"jpeg-{count}", FOLDER / f"jpeg-{count // 4}"
    for folder, pictures in ((all_, count), (quarter, count // 4)):
        write_pictures(folder, pictures)
    server = subprocess.Popen(
        [sys.executable, "-m", "benchmarks.data.ingest_pictures", str(all_)],
        stdout=subprocess.PIPE,
        text=True,
    )
    try:
        assert server.stdout is not None
        port = int(server.stdout.readline())
        urls = FOLDER / "urls.txt"
        urls.write_text("".join(f"http://127.0.0.1:{port}/{path.name}\n" for path in sorted(all_.iterdir())))
        out = FOLDER / "out"
        commands = {
            "ours": ours(all_, out),
            "img2dataset": img2dataset(urls, out),
            "datasets": datasets(all_, out, decode=False),
            "datasets_decoded": datasets(all_, out, decode=True),
        }
        seconds: dict[str, list[float]] = {name: [] for name in commands}
        peaks: list[float] = []
        metrics = {}
        for _ in range(arguments.repeats):
            for name, command in commands.items():
                wall, peak = run(command, out)
                seconds[name].append(wall)
                if name == "ours":
                    peaks.append(peak)
                    metrics = json.loads((out / "metrics.json").read_text())
        small = [run(ours(quarter, out), out)[1] for _ in range(arguments.repeats)]
    finally:
        server.kill()
        server.wait()
    shutil.rmtree(out, ignore_errors=True)
    median = {name: statistics.median(values) for name, values in seconds.items()}
    result(
        "ingest",
        images=count,
        images_per_s={name: round(count / value, 1) for name, value in median.items()},
        seconds={name: [round(value, 2) for value in values] for name, values in seconds.items()},
        ratio={name: round(value / median["ours"], 2) for name, value in median.items() if name != "ours"},
        peak_mb={
            str(count // 4): round(statistics.median(small)),
            str(count): round(statistics.median(peaks)),
        },
        peak_growth=round(statistics.median(peaks) / statistics.median(small) - 1, 3),
        near_duplicates={"planted": len(planted(count)), "found": metrics.get("rejected_near_duplicate", 0)},
        kept=metrics["kept"],
    )


if __name__ == "__main__":
    main()
