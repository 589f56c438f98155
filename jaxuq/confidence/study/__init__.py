"""A study: many questions, all measures, and how well each tells right from wrong answers."""
