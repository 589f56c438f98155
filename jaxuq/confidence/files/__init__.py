"""Answers that other programs have written, with what they say of them: what can be measured without a model."""
