"""Neural networks with scikit-learn's interface: estimators that train on CPUs, CUDA and OpenCL, and models that the command line and
Rust read and write."""

import os

from ._mlp import MLPClassifier, MLPRegressor
from ._model import Model
from ._travertine import __version__, after_fork, devices

# The threads of engines stay in the parent of a fork; the child begins its own.
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=after_fork)

__all__ = ["MLPClassifier", "MLPRegressor", "Model", "__version__", "devices"]
