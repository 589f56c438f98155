"""Training, routing, answering and comparing experts as a run with a folder; `jaxuq experts` in Python."""
