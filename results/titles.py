"""Display titles and listing order of methods, backbones, protocols and datasets."""

from __future__ import annotations

from collections.abc import Mapping

METHODS = {
    "random_init": "Random init.",
    "supervised": "Supervised",
    "supervised_mlp": "Supervised (MLP)",
    "moco_v1": "MoCo-v1",
    "moco_v2": "MoCo-v2",
    "simclr": "SimCLR",
    "simsiam": "SimSiam",
    "byol": "BYOL",
    "supcon": "SupCon",
    "moco_v3_official": "MoCo-v3 (official)",
    "moco_v3": "MoCo-v3",
    "opera": "OPERA",
    "opera (A)": "OPERA (A)",
    "opera (B)": "OPERA (B)",
    "opera_mim": "OPERA-MIM",
    "opera_on_moco_v1": "OPERA on MoCo-v1",
    "opera_on_moco_v2": "OPERA on MoCo-v2",
    "opera_on_simclr": "OPERA on SimCLR",
    "opera_on_simsiam": "OPERA on SimSiam",
    "opera_on_byol": "OPERA on BYOL",
    "opera_on_supcon": "OPERA on SupCon",
}
"""Variant label (``results.variants``) → title, from untrained weights to OPERA."""

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
    """The title of ``name``; an unknown name is returned as is."""
    return names.get(name, name)


def place(names: Mapping[str, str], name: str) -> tuple[int, str]:
    """Sort key of ``name``: known names in listing order, then all others by name."""
    known = list(names)
    return (known.index(name) if name in known else len(known), name)


def dataset_title(name: str) -> str:
    return title(DATASETS, name).replace("_", " ")
