"""What several evaluators share. ``config`` can be read at plan time; the other modules import torch."""
