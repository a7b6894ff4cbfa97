"""The executors, one module each; ``EXECUTOR`` is the module's executor class."""
