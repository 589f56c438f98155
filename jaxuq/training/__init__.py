"""The training room."""

__all__: list[str] = []
