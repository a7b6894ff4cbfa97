"""Builders shared by the backbones of one family."""
