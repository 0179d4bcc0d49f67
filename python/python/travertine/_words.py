"""Messages of the command line in the words of the estimators, which train by its options."""

from __future__ import annotations

import re

PARAMETERS = {"epochs": "max_iter", "seed": "random_state", "threads": "n_jobs", "test": "held_out"}


def in_python(message: str) -> str:
    """The message with parameters instead of options, and without functions of Rust."""
    message = message.split("\n\nFor more information")[0].removeprefix("error: ")
    message = re.sub(r"^invalid value '(.*?)' for '--[a-z-]+(?: <\w+>)?': (.*)$", r"\2", message, flags=re.DOTALL)
    message = re.sub(r"^[A-Z]\w*::\w+: ", "", message)
    message = message.replace("see --held-out and --test", "see held_out").replace(" (--drop)", "")
    message = re.sub(r"--([a-z]+(?:-[a-z]+)*)", lambda found: _parameter(found[1]), message)
    # Numbers with more digits than help.
    return re.sub(r"-?\d{21,}(?:\.\d+)?", lambda found: f"{float(found[0]):.6g}", message)


def _parameter(option: str) -> str:
    return PARAMETERS.get(option, option.replace("-", "_"))
