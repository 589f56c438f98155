"""The metrics room."""

__all__: list[str] = []
