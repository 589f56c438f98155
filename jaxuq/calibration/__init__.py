"""The calibration room."""

__all__: list[str] = []
