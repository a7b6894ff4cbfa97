"""Jobs to processes: executors that run named functions in dependency order, wherever that may be.

Knows nothing of what a job computes. Adding an executor is adding a module:
``slurm/executors/<name>.py``, whose ``EXECUTOR`` is a class that behaves like ``slurm.job.Executor``.
"""

from slurm.errors import InputError
from slurm.job import Charge, Executor, Handle, Job, JobState, OnChange, Told
from slurm.lookup import executor_names, find_executor

__all__ = [
    "Charge",
    "Executor",
    "Handle",
    "InputError",
    "Job",
    "JobState",
    "OnChange",
    "Told",
    "executor_names",
    "find_executor",
]
