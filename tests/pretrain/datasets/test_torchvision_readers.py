"""Why torchvision's readers of CIFAR, Flowers and Pets are not used: each test shows something that they lack."""

from __future__ import annotations

import hashlib
import pickle
from pathlib import Path

import pytest
from torchvision.datasets import CIFAR10, Flowers102, OxfordIIITPet, cifar

from pretrain.datasets import cifar10, flowers102, pets
from pretrain.errors import InputError
from tests.pretrain.datasets.test_cifar import Malicious
from tests.pretrain.datasets.writers import write_cifar10, write_flowers102, write_pets


def md5(path: Path) -> str:
    return hashlib.md5(path.read_bytes(), usedforsecurity=False).hexdigest()


def test_theirs_runs_a_pickle_that_is_exchanged_after_its_checksum_was_right(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = write_cifar10(tmp_path)
    batch, trace = folder / "data_batch_1", tmp_path / "trace"
    payload = pickle.dumps({"data": Malicious(trace), "labels": []})
    published = [(path.name, md5(path)) for path in sorted(folder.iterdir()) if path.name != "batches.meta"]
    monkeypatch.setattr(CIFAR10, "train_list", published[:5])
    monkeypatch.setattr(CIFAR10, "test_list", published[5:])

    def check_and_exchange(path: str, checksum: str, original=cifar.check_integrity) -> bool:  # type: ignore[no-untyped-def]
        sound = bool(original(path, checksum))
        if Path(path) == batch:
            batch.write_bytes(payload)
        return sound

    monkeypatch.setattr(cifar, "check_integrity", check_and_exchange)
    with pytest.raises(Exception):  # noqa: B017, PT011 - what it has run gives no array
        CIFAR10(tmp_path)
    assert trace.exists()
    trace.unlink()
    with pytest.raises(InputError, match="data_batch_1: not a readable batch file"):
        cifar10.open_split(tmp_path, "train")
    assert not trace.exists()


def test_theirs_names_no_file(tmp_path: Path) -> None:
    (write_cifar10(tmp_path) / "data_batch_3").write_bytes(b"")
    (write_flowers102(tmp_path) / "setid.mat").write_bytes(b"")
    for theirs in (CIFAR10, Flowers102):
        with pytest.raises(RuntimeError) as refusal:
            theirs(tmp_path)
        assert "data_batch_3" not in str(refusal.value)
        assert "setid" not in str(refusal.value)
    with pytest.raises(InputError, match="data_batch_3"):
        cifar10.open_split(tmp_path, "train")
    with pytest.raises(InputError, match=r"setid\.mat"):
        flowers102.open_split(tmp_path, "train")


@pytest.mark.parametrize("label", ["0", "38"])
def test_theirs_takes_a_class_that_is_none_without_a_word(label: str, tmp_path: Path) -> None:
    path = write_pets(tmp_path) / "annotations" / "trainval.txt"
    path.write_text(path.read_text().replace("Abyssinian_100 1 1 1", f"Abyssinian_100 {label} 1 1"))
    assert OxfordIIITPet(tmp_path)[0][1] == int(label) - 1
    with pytest.raises(InputError, match=r"trainval\.txt, line 1"):
        pets.open_split(tmp_path, "train")


def test_theirs_has_no_public_way_to_files_and_labels(tmp_path: Path) -> None:
    """A fingerprint and a loader's index need both without decoding the images."""
    write_pets(tmp_path)
    public = {name: value for name, value in vars(OxfordIIITPet(tmp_path)).items() if not name.startswith("_")}
    assert not any(isinstance(value, list) and len(value) == 8 for value in public.values())
    assert not hasattr(Flowers102, "targets")
