"""An index of ImageNet's size: from the data's directory to the first batch, by two workers.

The images are hard links to one small file a class, and one shard of a sixteenth is linked sixteen times, so that
a million names cost names only. Directories and tar headers are in the machine's cache when they are timed.
"""

from __future__ import annotations

import functools
import io
import os
import tarfile
import tempfile
from collections.abc import Callable
from pathlib import Path

from PIL import Image

from pretrain.config import PretrainConfig
from pretrain.datasets import LabelledImages, open_split, opening_once
from tests.speed.pair import Pair

TRAINING_IMAGES = 1_281_167
CLASSES = 1000
SHARDS = 16
WORKERS = 2
BATCH_SIZE, IMAGE_SIZE = 64, 32


def start_from_folders() -> Pair:
    return start_from(folders(), f"{TRAINING_IMAGES:,} files: index, first batch")


def next_epoch() -> Pair:
    images, plain = open_split("imagenet", folders(), "train"), image_folder()
    return Pair(
        f"{TRAINING_IMAGES:,} files: next epoch, first batch",
        "DataLoader over ImageFolder, shuffled",
        lambda: first_batch(images, epoch=1),
        lambda: plain_first_batch(plain),
    )


def identify() -> Pair:
    images = open_split("imagenet", folders(), "train")
    name = f"{TRAINING_IMAGES:,} files: fingerprint"
    return Pair(name, "os.scandir and a stat a file", images.fingerprint, plain_sizes, repeats=3)


def start_of_a_run() -> Pair:
    def ours() -> None:
        with opening_once():
            open_split("imagenet", folders(), "train").fingerprint()
            first_batch(open_split("imagenet", folders(), "train"), epoch=0)

    def reference() -> None:
        plain_sizes()
        plain_first_batch(image_folder())

    name = f"{TRAINING_IMAGES:,} files: index, fingerprint, first batch"
    return Pair(name, "a stat a file, ImageFolder, DataLoader", ours, reference, repeats=3)


def start_from_shards() -> Pair:
    root = shards(SHARDS)
    count = len(open_split("imagenet", root, "train"))
    return start_from(root, f"{count:,} images in shards: kept index, first batch")


def start_from(root: Path, name: str) -> Pair:
    return Pair(
        name,
        "torchvision ImageFolder, DataLoader",
        lambda: first_batch(open_split("imagenet", root, "train"), epoch=0),
        lambda: plain_first_batch(image_folder()),
        repeats=3,
    )


def index_of_a_shard() -> Pair:
    root = shards(1)

    def ours() -> None:
        for kept in Path(_cache().name).rglob("tar-index-*"):
            kept.unlink()
        open_split("imagenet", root, "train")

    def reference() -> None:
        for path in root.iterdir():
            with tarfile.open(path) as archive:
                archive.getmembers()

    count = len(open_split("imagenet", root, "train"))
    return Pair(f"{count:,} images in a shard: build the index", "tarfile, getmembers", ours, reference, repeats=3)


PAIRS: tuple[Callable[[], Pair], ...] = (
    start_from_folders,
    next_epoch,
    identify,
    start_of_a_run,
    start_from_shards,
    index_of_a_shard,
)


def first_batch(images: LabelledImages, epoch: int) -> None:
    from pretrain.engine.loader import batches, steps_per_epoch

    step = epoch * steps_per_epoch(len(images), BATCH_SIZE)
    loaded = batches(images, config(), first_step=step, rank=0, world_size=1, num_workers=WORKERS, pin_memory=False)
    next(loaded)
    loaded.close()


def plain_sizes() -> list[int]:
    root = folders() / "train"
    return [entry.stat().st_size for folder in os.scandir(root) for entry in os.scandir(folder)]


def plain_first_batch(dataset: object) -> None:
    from torch.utils.data import DataLoader

    next(iter(DataLoader(dataset, batch_size=BATCH_SIZE, shuffle=True, num_workers=WORKERS)))


def image_folder() -> object:
    from torchvision.datasets import ImageFolder
    from torchvision.transforms import Compose, PILToTensor, RandomResizedCrop

    return ImageFolder(folders() / "train", Compose([RandomResizedCrop(IMAGE_SIZE), PILToTensor()]))


@functools.cache
def config() -> PretrainConfig:
    from pretrain.resolve import resolve_pretraining

    resolved = resolve_pretraining(
        method="moco_v3", backbone="vit_small", dataset="imagenet", seed=0, options={"epochs": 2}
    )
    return resolved.model_copy(update={"global_batch_size": BATCH_SIZE, "image_size": IMAGE_SIZE})


def folders() -> Path:
    return Path(_folders().name)


@functools.cache
def _folders() -> tempfile.TemporaryDirectory[str]:
    directory = tempfile.TemporaryDirectory()
    for number in range(CLASSES):
        name = f"n{number:08d}"
        folder = Path(directory.name) / "train" / name
        folder.mkdir(parents=True)
        (folder / f"{name}_0.JPEG").write_bytes(jpeg())
        descriptor = os.open(folder, os.O_RDONLY)
        for image in range(1, TRAINING_IMAGES // CLASSES + (number < TRAINING_IMAGES % CLASSES)):
            os.link(f"{name}_0.JPEG", f"{name}_{image}.JPEG", src_dir_fd=descriptor, dst_dir_fd=descriptor)
        os.close(descriptor)
    return directory


@functools.cache
def _cache() -> tempfile.TemporaryDirectory[str]:
    """Where indices are kept, for this process instead of the user's own place."""
    directory = tempfile.TemporaryDirectory()
    os.environ["XDG_CACHE_HOME"] = directory.name
    return directory


def shards(count: int) -> Path:
    _cache()
    return Path(_shards(count).name)


@functools.cache
def _shards(count: int) -> tempfile.TemporaryDirectory[str]:
    directory = tempfile.TemporaryDirectory()
    first = Path(directory.name) / "imagenet1k-train-0000.tar"
    with tarfile.open(first, "w") as archive:
        for number in range(-(-TRAINING_IMAGES // SHARDS)):
            for name, content in ((f"{number}.jpg", jpeg()), (f"{number}.cls", b"%d" % (number % CLASSES))):
                member = tarfile.TarInfo(name)
                member.size = len(content)
                archive.addfile(member, io.BytesIO(content))
    for number in range(1, count):
        first.with_name(f"imagenet1k-train-{number:04d}.tar").hardlink_to(first)
    return directory


def jpeg() -> bytes:
    content = io.BytesIO()
    Image.new("RGB", (64, 48)).save(content, "jpeg")
    return content.getvalue()
