"""`python -m jaxuq` is the same as `jaxuq`."""

from jaxuq.cli import main

if __name__ == "__main__":
    main()
