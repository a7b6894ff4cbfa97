"""The executors, one module each; ``EXECUTOR`` is its class."""
