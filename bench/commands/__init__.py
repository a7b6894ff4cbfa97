"""The commands, one module each. Only typer is imported here; what a command needs, it imports when called."""
