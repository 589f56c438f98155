"""The networks room."""

__all__: list[str] = []
