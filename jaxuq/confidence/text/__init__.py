"""From text to measures: passes of a language model over questions and responses, and what is read from them."""
