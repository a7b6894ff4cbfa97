"""Numbers of the views that mean something to a method, shared by its options and its torch module."""

GLOBAL_VIEWS = 2
"""DINO's and iBOT's global crops are the views before this number."""
ANCHOR, TARGET = 0, 1
"""MSN's random anchor and its target."""
IMAGE, TOKENS = 0, 1
"""BEiT's image for the backbone, and the one for the tokenizer."""
