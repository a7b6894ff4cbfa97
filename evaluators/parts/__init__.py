"""Code shared by several evaluators. ``config`` can be imported at plan time; the other modules import torch."""
