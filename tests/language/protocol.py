"""Examples and host-side names of the language room."""

EXAMPLES = {}
HOST = {}
