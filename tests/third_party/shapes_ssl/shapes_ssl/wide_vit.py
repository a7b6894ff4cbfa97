from pretrain.backbones.interface import BackboneInfo

INFO = BackboneInfo(
    name="wide_vit", title="wide ViT", family="vit", width=96, num_heads=4, position_embedding="sincos-2d",
    patch_size=4, depth=2,
)


def build(image_size):
    from pretrain.backbones.families.vit import build_vit

    return build_vit(image_size=image_size, patch_size=4, width=96, depth=2, num_heads=4)
