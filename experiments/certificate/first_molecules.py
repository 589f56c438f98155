"""What docs/pages/start/molecules.md shows of a kept model: forecasts of three molecules, as its table.

python experiments/certificate/first_molecules.py runs/certificate/solubility
"""

import pathlib
import subprocess
import sys
import tempfile

import pandas

COLUMNS = {"forecast": 2, "lower": 2, "upper": 2, "epistemic": 3, "familiarity": 2, "similarity": 2}
MOLECULES = ("CCO", "c1ccccc1C(=O)O", "CCCCCCCCCCCCCC(=O)O")


def main(model: str) -> None:
    """Predict as a user does, and print."""
    with tempfile.TemporaryDirectory() as folder:
        given, found = pathlib.Path(folder, "new.csv"), pathlib.Path(folder, "forecasts.csv")
        given.write_text("\n".join(["smiles", *MOLECULES]) + "\n")
        command = [sys.executable, "-m", "jaxuq", "molecules", "predict", model, str(given), "--output", str(found)]
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
        table = pandas.read_csv(found)
    task = table.columns[1]
    named = {name: f"{task}_{name}" for name in COLUMNS} | {"forecast": task, "similarity": "similarity"}
    print(f"| smiles | {' | '.join(COLUMNS)} |\n|{'---|' * (len(COLUMNS) + 1)}")
    for row, smiles in enumerate(MOLECULES):
        fields = (f"{table[named[name]][row]:.{digits}f}" for name, digits in COLUMNS.items())
        print(f"| {smiles} | {' | '.join(fields)} |")


if __name__ == "__main__":
    main(sys.argv[1])
