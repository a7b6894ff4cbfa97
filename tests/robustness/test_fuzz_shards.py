"""Mutated images, tar shards and Arrow folders end in InputError or are read, each within a second and 500 MB.

``OPERA_BENCH_FUZZ_CASES`` sets the number of cases of all kinds together; a case's number is its seed.
"""

from __future__ import annotations

import random
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from pretrain.datasets import _tar_index, imagenet
from pretrain.datasets._arrow import open_saved_split
from pretrain.datasets._images import decode_rgb, decode_rgb_bytes, inspect_file
from pretrain.datasets._tar import read_members
from pretrain.errors import InputError
from tests.pretrain.datasets.writers import write_imagenet, write_imagenet_arrow, write_imagenet_shards
from tests.robustness.conftest import Tally, fuzz_cases
from tests.robustness.limits import SECONDS

CASES = fuzz_cases(70, tests=3)
MEGABYTES = 500
FORMATS = ("JPEG", "PNG", "PPM", "BMP", "TIFF", "WEBP", "GIF")

CHILD = """
import resource, sys
from pathlib import Path
from tests.robustness.limits import SECONDS, timed
from tests.robustness.test_fuzz_shards import MEGABYTES, run_case
kind, source, scratch, first, last = sys.argv[1], *map(Path, sys.argv[2:4]), *map(int, sys.argv[4:])
assert not run_case(kind, source, scratch, -1), 'what is not mutated must be read'
base = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
refused = 0
for seed in range(first, last):
    print("case", seed, flush=True)
    is_refused, seconds = timed(lambda: run_case(kind, source, scratch, seed))
    refused += is_refused
    megabytes = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - base) / 1024
    assert seconds < SECONDS, f"{seconds:.1f} s"
    assert megabytes < MEGABYTES, f"{megabytes:.0f} MB"
print("refused", refused)
"""


def mutate(content: bytes, rng: random.Random) -> bytes:
    """Flip, overwrite, cut out, repeat or append some bytes; headers more often than the rest."""
    data = bytearray(content)
    for _ in range(rng.choice((1, 1, 2, 8))):
        end = len(data) if rng.random() < 0.5 else min(len(data), 600)
        at, length = rng.randrange(max(1, end)), rng.choice((1, 2, 4, 8, 64))
        match rng.randrange(6):
            case 0:
                data[at : at + 1] = bytes([data[at] ^ 1 << rng.randrange(8)]) if data else b""
            case 1:
                data[at : at + length] = rng.randbytes(length)
            case 2:
                data[at : at + length] = rng.choice((b"\0", b"\xff", b"7")) * length
            case 3:
                del data[at : at + length]
            case 4:
                data[at:at] = data[at : at + length]
            case _:
                del data[at:]
    return bytes(data)


def write_sources(root: Path) -> None:
    tree = root / "tree"
    write_imagenet(tree)
    write_imagenet_shards(root / "tar", tree)
    write_imagenet_arrow(root / "arrow", tree)
    (root / "image").mkdir()
    pixels = np.random.default_rng(0).integers(0, 256, (24, 20, 3), dtype=np.uint8)
    for number, name in enumerate(FORMATS):
        Image.fromarray(pixels).save(root / "image" / str(number), name)
    deep = Image.fromarray(pixels[..., 0].astype(np.uint16) * 257)
    deep.save(root / "image" / str(len(FORMATS)), "PNG")
    deep.save(root / "image" / str(len(FORMATS) + 1), "TIFF")


def read_image(path: Path) -> None:
    for read in (inspect_file, decode_rgb):
        read(path)
    decode_rgb_bytes(path.read_bytes(), str(path))


def read_tar(path: Path) -> None:
    images = _tar_index._pack([path], read_members([path], imagenet.INFO.num_classes))
    for index in range(len(images)):
        images.image(index)
    images.fingerprint()


def read_arrow(path: Path) -> None:
    images = open_saved_split(path.parent.parent, "train")
    for index in range(len(images)):
        images.image(index)
    images.fingerprint()


KINDS: dict[str, tuple[str, Callable[[Path], None], str]] = {
    "image": ("image/*", read_image, "images"),
    "tar": ("tar/*train*.tar", read_tar, "shards"),
    "arrow": ("arrow/train/*", read_arrow, "Arrow folders"),
}


def run_case(kind: str, source: Path, scratch: Path, seed: int) -> bool:
    """Mutate one file with a seed, or none with -1, and read it; whether it was refused."""
    pattern, read, _ = KINDS[kind]
    rng = random.Random(seed)
    origin = rng.choice(sorted(source.glob(pattern)))
    case = scratch / f"{kind}-{seed}"
    shutil.copytree(source / kind, case)
    path = case / origin.relative_to(source / kind)
    if seed >= 0:
        path.write_bytes(mutate(origin.read_bytes(), rng))
    message = ""
    try:
        read(path)
    except InputError as error:
        message = str(error)
    finally:
        shutil.rmtree(case)
    assert "\n" not in message, message
    assert not message or path.name in message or kind == "arrow", message
    return bool(message)


@pytest.mark.parametrize("kind", KINDS)
def test_no_mutation_ends_in_a_traceback_a_hang_or_much_memory(kind: str, tmp_path: Path, tally: Tally) -> None:
    if kind == "arrow":
        pytest.importorskip("pyarrow")
    write_sources(tmp_path / "source")
    (tmp_path / "scratch").mkdir()
    command = [sys.executable, "-c", CHILD, kind, str(tmp_path / "source"), str(tmp_path / "scratch"), "0", str(CASES)]
    # A child process: a crash of a decoder written in C is then a failure of one test, with the case's number.
    done = subprocess.run(command, capture_output=True, text=True, timeout=60 + 2 * SECONDS * CASES, check=False)
    lines = done.stdout.splitlines()
    assert done.returncode == 0, f"{kind} {lines[-1:]}: {done.stderr[-2000:]}"
    refused = int(lines[-1].removeprefix("refused "))
    assert refused > CASES // 20
    tally(f"fuzz cases, {KINDS[kind][2]}", CASES)


def test_mutations_differ_by_seed() -> None:
    assert len({mutate(b"x" * 2000, random.Random(seed)) for seed in range(20)}) > 15
