"""Executors: run named functions as jobs in dependency order, in this process, on this machine or on a cluster.

This package does not know what a job computes. Callers use ``slurm.job`` and ``slurm.lookup``. To add an executor, add
a module ``slurm/executors/<name>.py`` whose ``EXECUTOR`` is a subclass of ``slurm.job.Executor``.
"""
