"""Executors: run named functions as jobs in dependency order, in this process, on this machine or on a cluster.

This package does not know what a job computes. To add an executor, add a module ``slurm/executors/<name>.py`` whose
``EXECUTOR`` is a class that behaves like ``slurm.job.Executor``.
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
