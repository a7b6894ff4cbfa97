"""What the formats share: the layout of a ViT, files, and the way from a file to a checkpoint and back."""
