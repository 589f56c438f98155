"""The reporting room."""

__all__: list[str] = []
