"""A training that fails leaves an estimator as it was."""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from typing import Any, TypeVar, cast

Method = TypeVar("Method", bound=Callable[..., Any])


def all_or_nothing(method: Method) -> Method:
    """A method that trains: where it raises, all attributes and the network are those from before the call.

    A first training that fails leaves an estimator that is not fitted.
    """

    @wraps(method)
    def trains(self: Any, *args: Any, **kwargs: Any) -> Any:
        # Histories grow in place.
        before = {name: list(value) if _is_history(name, value) else value for name, value in self.__dict__.items()}
        undo = _undo_training(before.get("_network"))
        try:
            return method(self, *args, **kwargs)
        except BaseException:
            self.__dict__.clear()
            self.__dict__.update(before)
            undo()
            raise

    return cast(Method, trains)


def _is_history(name: str, value: Any) -> bool:
    return name.endswith("_") and type(value) is list


def _undo_training(network: Any) -> Callable[[], None]:
    """What restores the weights of a network that goes on with its training; a new training begins with a network of its own."""
    if network is None:
        return lambda: None
    parameters = network.parameters()

    def undo() -> None:
        # The compiled module replaces this state only where a training succeeds.
        state = network.optimizer_state()
        network.set_parameters(parameters)
        if state is not None:
            network.set_optimizer_state(state)

    return undo
