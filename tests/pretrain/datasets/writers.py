"""Small trees in the data sets' true on-disk formats, filled with noise that differs from image to image."""

from __future__ import annotations

import io
import json
import struct
import tarfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from PIL import Image

if TYPE_CHECKING:
    from numpy.typing import NDArray

WNIDS = ("n01440764", "n01443537", "n02102040")
BREEDS = ("Abyssinian", "american_bulldog", "american_pit_bull_terrier", "basset_hound")
CATS = {"Abyssinian"}


def write_noise(path: Path, *, seed: int, size: tuple[int, int] = (20, 14), mode: str = "RGB") -> None:
    """One image of random pixels, ``size`` = (width, height); the format follows the name's extension."""
    path.parent.mkdir(parents=True, exist_ok=True)
    pixels = np.random.default_rng(seed).integers(0, 256, (size[1], size[0], 3), dtype=np.uint8)
    Image.fromarray(pixels).convert(mode).save(path)


def write_imagenet(root: Path, *, train_per_class: int = 3, val_per_class: int = 2) -> None:
    """``{train,val}/<wnid>/*.JPEG``, with a grey and a CMYK image among them, as the real data has."""
    for label, wnid in enumerate(WNIDS):
        for index in range(train_per_class):
            mode = {0: "RGB", 1: "L", 2: "CMYK"}[index % 3]
            write_noise(root / "train" / wnid / f"{wnid}_{1000 - index}.JPEG", seed=100 * label + index, mode=mode)
        for index in range(val_per_class):
            name = f"ILSVRC2012_val_{label + 7 * index:08d}.JPEG"
            write_noise(root / "val" / wnid / name, seed=1000 + 100 * label + index)


def write_imagenet_shards(root: Path, tree: Path, *, images_per_shard: int = 4) -> None:
    """The images of ``tree`` as ``imagenet1k-{train,validation}-*.tar``, shuffled as the real shards are."""
    for split, name in (("train", "train"), ("val", "validation")):
        paths = sorted((tree / split).glob("*/*.JPEG"))
        order = np.random.default_rng(0).permutation(len(paths))
        for number, start in enumerate(range(0, len(paths), images_per_shard)):
            members = {}
            for path in (paths[index] for index in order[start : start + images_per_shard]):
                members[f"{path.stem}.cls"] = str(WNIDS.index(path.parent.name)).encode()
                members[f"{path.stem}.jpg"] = path.read_bytes()
                members[f"{path.stem}.json"] = b"{}"
            write_tar(root / f"imagenet1k-{name}-{number:04d}.tar", members)


def write_tar(path: Path, members: dict[str, bytes]) -> None:
    """A tar archive of these files, in this order."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with tarfile.open(path, "w") as archive:
        for name, content in members.items():
            info = tarfile.TarInfo(name)
            info.size = len(content)
            archive.addfile(info, io.BytesIO(content))


def write_imagenet_arrow(root: Path, tree: Path, *, images_per_file: int = 4) -> None:
    """The images of ``tree`` as ``datasets.DatasetDict.save_to_disk`` writes them, two rows a batch."""
    import pyarrow as pa

    image, label = {"_type": "Image"}, {"names": list(WNIDS), "_type": "ClassLabel"}
    information = {"features": {"image": image, "label": label}}
    schema = pa.schema(
        {"image": pa.struct({"bytes": pa.binary(), "path": pa.string()}), "label": pa.int64()},
        metadata={"huggingface": json.dumps({"info": information})},
    )
    for split, name in (("train", "train"), ("val", "validation")):
        (root / name).mkdir(parents=True)
        paths = sorted((tree / split).glob("*/*.JPEG"))
        starts = range(0, len(paths), images_per_file)
        files = [f"data-{number:05d}-of-{len(starts):05d}.arrow" for number in range(len(starts))]
        for file, start in zip(files, starts, strict=True):
            rows = [
                {"image": {"bytes": path.read_bytes(), "path": path.name}, "label": WNIDS.index(path.parent.name)}
                for path in paths[start : start + images_per_file]
            ]
            with pa.OSFile(str(root / name / file), "wb") as sink, pa.ipc.new_stream(sink, schema) as writer:
                writer.write_table(pa.Table.from_pylist(rows, schema), max_chunksize=2)
        state = {"_data_files": [{"filename": file} for file in files], "_split": name}
        (root / name / "state.json").write_text(json.dumps(state))
        (root / name / "dataset_info.json").write_text(json.dumps(information))
    (root / "dataset_dict.json").write_text(json.dumps({"splits": ["train", "validation"]}))


def write_cifar10(root: Path, *, images_per_batch: int = 4) -> Path:
    """``cifar-10-batches-py/`` below ``root``; returns it."""
    folder = root / "cifar-10-batches-py"
    folder.mkdir(parents=True)
    for seed, name in enumerate([*(f"data_batch_{number}" for number in range(1, 6)), "test_batch"]):
        data, labels = _cifar_batch(seed, images_per_batch, 10)
        content = {
            "batch_label": name,
            "labels": labels,
            "data": data,
            "filenames": [f"noise_s_{index:06d}.png" for index in range(images_per_batch)],
        }
        (folder / name).write_bytes(python2_pickle(content))
    meta = {"num_cases_per_batch": images_per_batch, "label_names": [f"kind {i}" for i in range(10)], "num_vis": 3072}
    (folder / "batches.meta").write_bytes(python2_pickle(meta))
    return folder


def write_cifar100(root: Path, *, images_per_batch: int = 12) -> Path:
    """``cifar-100-python/`` below ``root``; returns it."""
    folder = root / "cifar-100-python"
    folder.mkdir(parents=True)
    for seed, name in enumerate(("train", "test"), start=50):
        data, labels = _cifar_batch(seed, images_per_batch, 100)
        content = {
            "filenames": [f"noise_s_{index:06d}.png" for index in range(images_per_batch)],
            "batch_label": f"{name}ing batch 1 of 1",
            "fine_labels": labels,
            "coarse_labels": [label // 5 for label in labels],
            "data": data,
        }
        (folder / name).write_bytes(python2_pickle(content))
    meta = {"fine_label_names": [f"kind {i}" for i in range(100)], "coarse_label_names": [f"k {i}" for i in range(20)]}
    (folder / "meta").write_bytes(python2_pickle(meta))
    return folder


def write_flowers102(root: Path) -> Path:
    """``flowers-102/`` below ``root`` with 12 images: 3 + 3 for training, 6 for validation; returns it."""
    from scipy.io import savemat

    folder = root / "flowers-102"
    for number in range(1, 13):
        write_noise(folder / "jpg" / f"image_{number:05d}.jpg", seed=2000 + number)
    labels = np.array([[77, 1, 102, 3, 3, 1, 77, 102, 50, 2, 1, 9]], dtype=np.uint8)
    savemat(folder / "imagelabels.mat", {"labels": labels})
    parts = {"trnid": [8, 2, 11], "valid": [5, 1, 12], "tstid": [3, 10, 4, 6, 9, 7]}
    savemat(folder / "setid.mat", {key: np.array([ids], dtype=np.uint16) for key, ids in parts.items()})
    return folder


def write_pets(root: Path) -> Path:
    """``oxford-iiit-pet/`` below ``root``: 4 breeds, 2 images each for training, 1 for validation; returns it."""
    folder = root / "oxford-iiit-pet"
    lines: dict[str, list[str]] = {"trainval.txt": [], "test.txt": []}
    for label, breed in enumerate(BREEDS, start=1):
        for index, list_name in ((100, "trainval.txt"), (7, "trainval.txt"), (201, "test.txt")):
            name = f"{breed}_{index}"
            write_noise(folder / "images" / f"{name}.jpg", seed=3000 + 500 * label + index)
            species = 1 if breed in CATS else 2
            lines[list_name].append(f"{name} {label} {species} {label if species == 1 else label - 1}\n")
    annotations = folder / "annotations"
    annotations.mkdir()
    for list_name, rows in lines.items():
        (annotations / list_name).write_text("".join(rows), encoding="utf-8")
    header = "#Image CLASS-ID SPECIES BREED ID\n"
    (annotations / "list.txt").write_text(
        header + "".join(row for rows in lines.values() for row in rows), encoding="utf-8"
    )
    return folder


def python2_pickle(value: Any) -> bytes:
    """``value`` as Python 2.7 and the NumPy of its day pickled it with protocol 2: byte strings, ``numpy.core``."""
    return b"\x80\x02" + _pickled(value) + b"."


def _pickled(value: Any) -> bytes:
    if isinstance(value, dict):
        return b"}(" + b"".join(_pickled(key) + _pickled(item) for key, item in value.items()) + b"u"
    if isinstance(value, list):
        return b"](" + b"".join(map(_pickled, value)) + b"e"
    if isinstance(value, int):
        return b"J" + struct.pack("<i", value)
    if isinstance(value, np.ndarray):
        return _pickled_array(value)
    encoded = value if isinstance(value, bytes) else value.encode("latin1")
    return b"T" + struct.pack("<i", len(encoded)) + encoded


def _pickled_array(value: NDArray[np.uint8]) -> bytes:
    empty = b"cnumpy.core.multiarray\n_reconstruct\ncnumpy\nndarray\nK\x00\x85U\x01b\x87R"
    dtype = b"cnumpy\ndtype\nU\x02u1K\x00K\x01\x87R(K\x03U\x01|NNNJ\xff\xff\xff\xffJ\xff\xff\xff\xffK\x00tb"
    shape = b"(" + b"".join(map(_pickled, value.shape)) + b"t"
    is_fortran_ordered = b"\x89"
    return empty + b"(K\x01" + shape + dtype + is_fortran_ordered + _pickled(value.tobytes()) + b"tb"


def _cifar_batch(seed: int, count: int, num_classes: int) -> tuple[NDArray[np.uint8], list[int]]:
    generator = np.random.default_rng(seed)
    data = generator.integers(0, 256, (count, 3 * 32 * 32), dtype=np.uint8)
    return data, generator.integers(0, num_classes, count).tolist()
