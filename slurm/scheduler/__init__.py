"""What the SLURM executor is made of: profiles of clusters, batch scripts, the ledger of what was submitted, the queue
as the scheduler shows it, and what happens inside a job."""
