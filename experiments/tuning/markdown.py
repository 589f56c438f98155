"""The tables of a run of `jaxuq tune` as Markdown: python experiments/tuning/markdown.py runs/facts."""

import sys

from jaxuq.reporting import markdown_table, read_folder
from jaxuq.reporting.tuning_page import tuning_tables

if __name__ == "__main__":
    result = read_folder(sys.argv[1])
    for part in dict.fromkeys(result.results["dataset"]):
        print(f"## {part}\n")
        for table in tuning_tables(result, part):
            print(f"{table.title}\n\n{markdown_table(table, intervals=True)}\n")
