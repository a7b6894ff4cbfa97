"""The parts of the SLURM executor: cluster profiles, batch scripts, the ledger of submissions, the queue, and the code
that runs inside a job."""
