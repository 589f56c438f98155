"""Posteriors of adapters: how they are fitted, and how samples are drawn."""
