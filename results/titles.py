"""Display titles and listing order of backbones, protocols and datasets."""

from __future__ import annotations

from collections.abc import Mapping

BACKBONES = {
    "resnet50": "ResNet-50",
    "vit_small": "ViT-S",
    "vit_base": "ViT-B",
    "tiny_resnet": "tiny ResNet",
    "tiny_vit": "tiny ViT",
    "tiny_vit_base": "tiny ViT-B",
}
PROTOCOLS = {
    "linear": "Linear probe",
    "finetune": "Finetuning",
    "knn": "k-NN",
    "transfer": "Transfer",
    "segmentation": "Segmentation",
    "detection": "Detection",
    "similarity": "Similarity",
}
DATASETS = {
    "imagenet": "ImageNet",
    "cifar10": "CIFAR-10",
    "cifar100": "CIFAR-100",
    "flowers102": "Flowers-102",
    "pets": "Pets",
    "ade20k": "ADE20K",
    "coco": "COCO",
    "digits": "digits",
    "mnist5k": "MNIST 5k",
}


def title(names: Mapping[str, str], name: str) -> str:
    """Return the title of ``name``; an unknown name is returned as is."""
    return names.get(name, name)


def listing_order(names: Mapping[str, object], name: str) -> tuple[int, str]:
    """Return the sort key of ``name``: known names in listing order, then all others by name."""
    known = list(names)
    return (known.index(name) if name in known else len(known), name)


def dataset_title(name: str) -> str:
    return title(DATASETS, name).replace("_", " ")
