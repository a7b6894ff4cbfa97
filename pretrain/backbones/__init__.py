"""Backbones, one module each, found by name.

A backbone module has ``INFO: BackboneInfo`` and ``build(image_size) -> nn.Module``, whose forward maps images
(B, 3, H, W) to features (B, INFO.width). Reading ``INFO`` imports no torch.
"""
