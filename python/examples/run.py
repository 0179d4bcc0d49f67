"""Runs every notebook of this folder to its end."""

import pathlib

import nbclient
import nbformat

FOLDER = pathlib.Path(__file__).parent

for path in sorted(FOLDER.glob("*.ipynb")):
    notebook = nbformat.read(path, as_version=4)
    nbclient.NotebookClient(notebook, timeout=600, resources={"metadata": {"path": str(FOLDER)}}).execute()
    print(f"{path.name}: {len(notebook.cells)} cells ran")
