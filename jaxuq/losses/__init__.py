"""The losses room."""

__all__: list[str] = []
