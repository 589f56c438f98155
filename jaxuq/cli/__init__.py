"""The command line: `jaxuq <system> ...`. One file per command; this one chooses and turns mistakes into messages."""

from jaxuq.cli.main import main

__all__ = ["main"]
