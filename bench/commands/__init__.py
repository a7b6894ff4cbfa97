"""The commands, one module each. At import they load only typer; each imports other modules when called."""
