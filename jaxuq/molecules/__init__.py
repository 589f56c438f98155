"""The molecules room."""

__all__: list[str] = []
