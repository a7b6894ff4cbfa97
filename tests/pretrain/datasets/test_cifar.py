from __future__ import annotations

import pickle
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from torchvision.datasets import CIFAR10, CIFAR100

from pretrain.datasets import cifar10, cifar100
from pretrain.datasets._pickles import read_plain_pickle
from pretrain.errors import InputError
from tests.pretrain.datasets.writers import python2_pickle, write_cifar10, write_cifar100


class Malicious:
    """Unpickled without care, it creates a file."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[Any, ...]:
        return Path.touch, (self.path,)


@pytest.mark.parametrize("protocol", [0, 2, 4])
def test_a_malicious_pickle_is_refused_unrun(protocol: int, tmp_path: Path) -> None:
    folder = write_cifar10(tmp_path)
    trace = tmp_path / "trace"
    payload = pickle.dumps({"data": Malicious(trace), "labels": []}, protocol=protocol)
    pickle.loads(payload)
    assert trace.exists(), "the payload must work on an ordinary unpickler for this test to mean anything"
    trace.unlink()
    (folder / "data_batch_2").write_bytes(payload)
    with pytest.raises(InputError, match=r"data_batch_2: not a readable batch file \(it names "):
        cifar10.open_split(tmp_path, "train")
    assert not trace.exists()


@pytest.mark.parametrize(
    "payload",
    [
        b"cbuiltins\neval\nU\x011\x85R.",
        b"cnumpy\nload\n.",
        b"ccopyreg\n_reconstructor\n.",
        b"cos\nsystem\nU\x04true\x85R.",
        b"(U\x04trueios\nsystem\n.",
        b"c_codecs\nencode\nU\x01xU\x05rot13\x86R.",
        b"cnumpy\ndtype\n}U\x05_makeK\x01sb.",
        b"cnumpy\ndtype\nN}U\x05_makeK\x01s\x86b.",
        b"cnumpy.core.multiarray\n_reconstruct\n)R(K\x01K\x01\x85cnumpy\ndtype\nU\x01OK\x00K\x01\x87R\x89U\x01xtb.",
    ],
)
def test_everything_but_plain_values_and_byte_arrays_is_refused(payload: bytes, tmp_path: Path) -> None:
    path = tmp_path / "batch"
    path.write_bytes(b"\x80\x02" + payload)
    with pytest.raises(InputError, match="not a readable batch file"):
        read_plain_pickle(path)


@pytest.mark.parametrize("order", ["C", "F"])
def test_what_python_3_pickles_is_read_too(order: Any, tmp_path: Path) -> None:
    data = np.asarray(np.random.default_rng(0).integers(0, 256, (3, 8), dtype=np.uint8), order=order)
    path = tmp_path / "batch"
    path.write_bytes(pickle.dumps({"data": data, "labels": [1, 2, 3], "raw": b"\xff\x00"}, protocol=2))
    content = read_plain_pickle(path)
    np.testing.assert_array_equal(content["data"], data)
    assert (content["labels"], content["raw"]) == ([1, 2, 3], b"\xff\x00")


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ([], "not a CIFAR batch"),
        ({"data": np.zeros((2, 3072), np.uint8)}, "expected a dict with 'data' and 'labels'"),
        ({"data": np.zeros((2, 100), np.uint8), "labels": [0, 1]}, "N × 3,072 bytes"),
        ({"data": np.zeros((2, 3072), np.uint8), "labels": [0]}, "one label for each of the 2 images"),
        ({"data": np.zeros((2, 3072), np.uint8), "labels": [0, 10]}, "not an integer of 0…9"),
    ],
)
def test_a_batch_of_another_shape_is_explained(content: Any, message: str, tmp_path: Path) -> None:
    folder = write_cifar10(tmp_path)
    (folder / "test_batch").write_bytes(python2_pickle(content))
    with pytest.raises(InputError, match=f"test_batch: .*{message}"):
        cifar10.open_split(tmp_path, "val")


def test_truncated_and_missing_batches_are_named(tmp_path: Path) -> None:
    folder = write_cifar100(tmp_path)
    train = folder / "train"
    train.write_bytes(train.read_bytes()[:1000])
    with pytest.raises(InputError, match="train: not a readable batch file"):
        cifar100.open_split(tmp_path, "train")
    train.unlink()
    with pytest.raises(InputError, match="train: can't be read"):
        cifar100.open_split(tmp_path, "train")


def test_check_compares_with_the_published_files(tmp_path: Path) -> None:
    folder = write_cifar10(tmp_path)
    (folder / "data_batch_3").unlink()
    problems = cifar10.check(tmp_path)
    assert sum("differs from the published file" in problem for problem in problems) == 5
    assert any("data_batch_3: can't be read" in problem for problem in problems)
    assert "cifar10 val: 4 images, the published split has 10,000" in problems


def test_published_checksums_are_torchvisions() -> None:
    for ours, theirs in ((cifar10.FILES, CIFAR10), (cifar100.FILES, CIFAR100)):
        assert list(ours.batches["train"].items()) == [tuple(pair) for pair in theirs.train_list]
        assert list(ours.batches["val"].items()) == [tuple(pair) for pair in theirs.test_list]
        assert ours.folder == theirs.base_folder
