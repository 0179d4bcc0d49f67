#!/usr/bin/env python3
"""Makes src/data/digits.gz from the copy of the UCI optical digits that the scikit-learn wheel carries.

    scripts/make-digits.py [WHEEL]

Without WHEEL the wheel is downloaded from PyPI. Each of the 1,797 samples becomes 65 bytes: 64 pixels (0 to 16, row
by row) and the digit. The output does not depend on the time or the machine (as far as zlib does not).
"""

import gzip
import hashlib
import pathlib
import subprocess
import sys
import tempfile
import zipfile

VERSION = "1.9.1"
MEMBER = "sklearn/datasets/data/digits.csv.gz"
OUTPUT = pathlib.Path(__file__).resolve().parent.parent / "src" / "data" / "digits.gz"


def download(folder):
    command = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--only-binary", ":all:"]
    subprocess.run([*command, "--dest", folder, f"scikit-learn=={VERSION}"], check=True)
    return next(pathlib.Path(folder).glob("*.whl"))


def read_samples(wheel):
    with zipfile.ZipFile(wheel) as archive:
        lines = gzip.decompress(archive.read(MEMBER)).decode().splitlines()
    return [[int(float(field)) for field in line.split(",")] for line in lines]


def main():
    with tempfile.TemporaryDirectory() as folder:
        samples = read_samples(sys.argv[1] if len(sys.argv) > 1 else download(folder))
    assert len(samples) == 1797
    assert all(len(s) == 65 and max(s[:64]) <= 16 and s[64] <= 9 for s in samples)
    packed = gzip.compress(b"".join(bytes(s) for s in samples), compresslevel=9, mtime=0)
    OUTPUT.write_bytes(packed)
    print(f"{OUTPUT.name}: {len(packed)} bytes, sha256 {hashlib.sha256(packed).hexdigest()}")


if __name__ == "__main__":
    main()
