"""Knowing what one does not know: grades of the model's own answers, and ways to learn from them."""
