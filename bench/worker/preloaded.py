"""Imports the worker and the libraries that most jobs use. The local executor imports this module before forking jobs.

Jobs on a cluster start their own Python and import only what their stage needs.
"""

from importlib import import_module

for _module in ("bench.worker.run_job", "timm", "torch.utils.tensorboard", "torchmetrics", "torchvision"):
    import_module(_module)
