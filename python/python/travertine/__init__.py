"""Neural networks with scikit-learn's interface: estimators that train on CPUs, CUDA and OpenCL, and models that the command line and
Rust read and write."""

import json
import os
import subprocess
import sys
from typing import Any

from ._mlp import MLPClassifier, MLPRegressor
from ._model import Model
from ._tabular import TabularClassifier, TabularRegressor
from ._travertine import __version__, after_fork

# The threads of engines stay in the parent of a fork; the child begins its own.
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=after_fork)

__all__ = [
    "MLPClassifier",
    "MLPRegressor",
    "Model",
    "TabularClassifier",
    "TabularRegressor",
    "__version__",
    "devices",
]


def devices() -> list[dict[str, Any]]:
    """All devices that engines know of.

    They are asked by another process, because a broken driver may end the process that asks it.

    Returns
    -------
    list of dict
        ``device`` is the name for estimators; ``name``, ``threads``, ``memory`` in bytes, ``driver`` and ``fp64`` describe it;
        ``usable`` says whether it can be used, ``reason`` and ``cure`` why not and what helps.

    Examples
    --------
    >>> from travertine import devices
    >>> devices()[0]["device"]
    'cpu'
    """
    asked = subprocess.run(
        [sys.executable, "-m", "travertine", "devices", "--json"], check=True, capture_output=True, text=True
    )
    return [json.loads(line) for line in asked.stdout.splitlines()]
