"""What the local executor imports once, before it forks jobs: the worker, and libraries that most jobs use.

A job on a cluster starts in a Python of its own, and imports what its stage needs.
"""

from importlib import import_module

for _module in ("bench.worker.run_job", "timm", "torch.utils.tensorboard", "torchmetrics", "torchvision"):
    import_module(_module)
