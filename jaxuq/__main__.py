"""The program `jaxuq`, also `python -m jaxuq`: sets its process up before anything heavy is imported."""

from jaxuq import use_huge_pages


def main() -> None:
    """Run the command line."""
    use_huge_pages()
    from jaxuq.cli import main as command_line

    command_line()


if __name__ == "__main__":
    main()
