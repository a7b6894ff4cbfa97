"""Batch normalisation of backbones: MoCo's shuffled one, and the scale at which residual branches start.

MoCo normalises a query and its key with different images. All keys in the queue come from other batches, so statistics
of the current batch would tell a positive key from negatives, even if they were those of the whole global batch (K. He
in facebookresearch/moco issue 46). MoCo therefore takes statistics from the images of one GPU, 32 of 256, and shuffles
the keys' images over the GPUs. Here the size of these groups is a setting, so the numbers do not depend on how many
processes share the batch.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.nn.modules.batchnorm import _BatchNorm

from pretrain.batch import Place
from pretrain.distributed import gather, get_world_size
from pretrain.errors import InputError
from pretrain.hierarchy.module import HierarchicalMethod
from pretrain.methods.parts.gather import rows_of_this_process


class GroupedBatchNorm(_BatchNorm):
    """Batch normalisation over ``group_size`` successive images. Running statistics move by the mean over all groups.

    The engine leaves it as it is where it synchronises other batch normalisations.
    """

    synchronise = False

    def __init__(self, like: _BatchNorm, group_size: int) -> None:
        super().__init__(like.num_features, like.eps, like.momentum, like.affine)
        self.group_size = group_size
        self.load_state_dict(like.state_dict())

    def _check_input_dim(self, input: Tensor) -> None:  # noqa: A002
        if self.training and len(input) % self.group_size:
            raise InputError(
                f"batch_norm_group: the {len(input)} images of a process are not made of groups of {self.group_size}; "
                "take fewer processes or smaller groups"
            )

    def forward(self, input: Tensor) -> Tensor:  # noqa: A002
        self._check_input_dim(input)
        if not self.training:
            return super().forward(input)
        normalised, means, variances = [], [], []
        for group in input.split(self.group_size):
            # With a momentum of 1 these become the group's own statistics.
            mean, variance = torch.ones(2, self.num_features, device=input.device)
            normalised.append(F.batch_norm(group, mean, variance, self.weight, self.bias, True, 1.0, self.eps))
            means.append(mean)
            variances.append(variance)
        self._track(torch.stack(means).mean(dim=0), torch.stack(variances).mean(dim=0))
        return torch.cat(normalised)

    @torch.no_grad()
    def _track(self, mean: Tensor, variance: Tensor) -> None:
        assert self.running_mean is not None
        assert self.running_var is not None
        assert self.num_batches_tracked is not None
        assert self.momentum is not None
        if get_world_size() > 1:
            mean, variance = gather(torch.stack([mean, variance])[None]).mean(dim=0)
        self.num_batches_tracked += 1
        self.running_mean.lerp_(mean, self.momentum)
        self.running_var.lerp_(variance, self.momentum)


def group_batch_norm(network: nn.Module, group_size: int) -> None:
    """Replace, in place, all batch normalisations inside ``network``; names and values of its state stay."""
    for name, child in network.named_children():
        if isinstance(child, _BatchNorm):
            setattr(network, name, GroupedBatchNorm(child, group_size))
        else:
            group_batch_norm(child, group_size)


class ShuffledTarget(HierarchicalMethod):
    """A hierarchy whose target network, if it has batch normalisation, sees the global batch in a random order."""

    @torch.no_grad()
    def target_features(self, images: Tensor, place: Place) -> dict[str, Tensor]:
        """Return the target network's features, computed in the random order and returned in the batch's.

        Processes exchange images twice, as pixels and as features, as MoCo's builder.py does.
        """
        assert self.target_backbone is not None
        assert self.hierarchy.target_views is not None
        shuffles = any(isinstance(module, GroupedBatchNorm) for module in self.target_backbone.modules())
        if not shuffles or place.view not in self.hierarchy.target_views:
            return super().target_features(images, place)
        all_images = gather(images)
        generator = torch.Generator().manual_seed(place.draw_seed)
        order = torch.randperm(len(all_images), generator=generator).to(images.device)
        mine = rows_of_this_process(len(images))
        found = super().target_features(all_images[order[mine]], place)
        return {name: gather(features)[order.argsort()[mine]] for name, features in found.items()}


def open_residual_branches(backbone: nn.Module) -> None:
    """Set the scale of the last batch normalisation of every residual block to 1, in place; other backbones stay.

    The backbones here start it at 0. MoCo's and BYOL's papers trained ResNets that start it at 1.
    """
    for block in backbone.modules():
        if hasattr(block, "zero_init_last"):
            last = block.bn3 if hasattr(block, "bn3") else block.bn2
            nn.init.ones_(last.weight)  # type: ignore[union-attr, arg-type]
