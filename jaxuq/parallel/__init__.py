"""The parallel room."""

__all__: list[str] = []
