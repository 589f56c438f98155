"""What a damaged file makes its parser raise; a reader turns all of it into its room's one error."""

import zlib

DAMAGED = (OSError, EOFError, zlib.error, ValueError, RecursionError)
"""Of a disk, of gzip, and of texts: not Unicode, no JSON or TOML (errors of both are `ValueError`), numbers with more
digits than Python reads, brackets nested deeper than its stack."""
