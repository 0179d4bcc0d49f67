"""What all estimators share: threads, arrays and the training of a network."""

from __future__ import annotations

import os
import warnings
from numbers import Integral, Real
from typing import Any

import numpy as np
from sklearn.base import BaseEstimator, is_regressor
from sklearn.exceptions import ConvergenceWarning
from sklearn.model_selection import train_test_split
from sklearn.utils._param_validation import Interval, Options, StrOptions
from sklearn.utils.validation import _check_sample_weight, check_is_fitted, validate_data

from ._common import MOST, dense, floats, seed_of, threads_of
from ._travertine import Network
from ._watch import Watch

ACTIVATIONS = {
    "logistic": "sigmoid",
    "relu": "relu",
    "tanh": "tanh",
    "identity": "identity",
    "selu": "selu",
    "mish": "mish",
    "gelu": "gelu",
    "elu": "elu",
    "silu": "silu",
    "softplus": "softplus",
}
SCHEDULES = ["cosine", "one_cycle", "coslog", "flat_cosine"]
NOT_FINITE = (
    "Solver produced non-finite parameter weights. The input data may contain large values and need to be "
    "preprocessed."
)
# Where a layer has them.
PLACES = {"coefs_": 0, "intercepts_": 1}
NO_WEIGHT = "Sample weights must contain at least one non-zero number."
# Rows of a sparse matrix that are made dense at a time.
SPARSE_ROWS = 4096
# Numbers that are predicted from at a time, about: memory of a few MB is used again and again, where new memory takes longer than the network.
PREDICTED_NUMBERS = 1 << 20


class BaseMLP(BaseEstimator):
    """A multilayer perceptron; see :class:`MLPClassifier` and :class:`MLPRegressor`."""

    _parameter_constraints: dict[str, list[Any]] = {
        "hidden_layer_sizes": ["array-like", Interval(Integral, 1, None, closed="left")],
        "activation": [StrOptions(set(ACTIVATIONS))],
        "solver": [StrOptions({"lbfgs", "sgd", "adam"})],
        "alpha": [Interval(Real, 0, None, closed="left")],
        "batch_size": [StrOptions({"auto"}), Interval(Integral, 1, None, closed="left")],
        "learning_rate": [StrOptions({"constant", "invscaling", "adaptive"})],
        "learning_rate_init": [Interval(Real, 0, None, closed="neither")],
        "power_t": [Interval(Real, 0, None, closed="left")],
        "max_iter": [Interval(Integral, 1, None, closed="left")],
        "shuffle": ["boolean"],
        "random_state": ["random_state"],
        "tol": [Interval(Real, 0, None, closed="left")],
        "verbose": ["verbose"],
        "warm_start": ["boolean"],
        "momentum": [Interval(Real, 0, 1, closed="both")],
        "nesterovs_momentum": ["boolean"],
        "early_stopping": ["boolean"],
        "validation_fraction": [Interval(Real, 0, 1, closed="left")],
        "beta_1": [Interval(Real, 0, 1, closed="left")],
        "beta_2": [Interval(Real, 0, 1, closed="left")],
        "epsilon": [Interval(Real, 0, None, closed="neither")],
        "n_iter_no_change": [Interval(Integral, 1, None, closed="left"), Options(Real, {np.inf})],
        "max_fun": [Interval(Integral, 1, None, closed="left")],
        "dropout": [Interval(Real, 0, 1, closed="left")],
        "normalization": [StrOptions({"batch", "layer"}), None],
        "schedule": [StrOptions(set(SCHEDULES)), None],
        "device": [str],
        "n_jobs": [Integral, None],
        "precision": [StrOptions({"float32", "float64"})],
        "callbacks": [list, tuple, None],
    }

    # --- What the classifier and the regressor say about themselves. ---

    def _validate_targets(self, y: Any, *, incremental: bool) -> np.ndarray:
        """The targets as numbers, ``(n_samples, n_outputs)``; sets what belongs to them."""
        raise NotImplementedError

    def _output_activation(self) -> str:
        raise NotImplementedError

    def _weights(self, y: np.ndarray, sample_weight: np.ndarray | None) -> np.ndarray | None:
        return sample_weight

    def _score_outputs(self, outputs: np.ndarray, y: np.ndarray, weights: np.ndarray | None) -> float:
        raise NotImplementedError

    def _strata(self, targets: np.ndarray) -> np.ndarray | None:
        return None

    # --- Training ---

    def _fit(self, X: Any, y: Any, sample_weight: Any = None, *, incremental: bool = False) -> Any:
        self._validate_params()
        sizes = self._hidden_sizes()
        is_new = "_network" not in self.__dict__ or (not self.warm_start and not incremental)
        X, y = validate_data(
            self,
            X,
            y,
            accept_sparse="csr",
            multi_output=True,
            y_numeric=is_regressor(self),
            dtype=(np.float64, np.float32),
            reset=is_new,
        )
        dtype = np.dtype(self.precision)
        if sample_weight is not None:
            sample_weight = _check_sample_weight(sample_weight, X, ensure_non_negative=True)
        targets = self._validate_targets(y, incremental=incremental)
        weights = self._weights(y, sample_weight)
        if weights is not None and not np.any(weights > 0):
            # Newer versions of scikit-learn say the same.
            raise ValueError(NO_WEIGHT)
        if is_new:
            self._begin(X.shape[1], sizes, targets.shape[1])
        else:
            self._check_unchanged(self._made, self._made_of(sizes), "warm_start and partial_fit go on with the same network")
        if self.solver == "lbfgs":
            self._fit_lbfgs(floats(X, dtype), targets, weights)
        else:
            # Samples that are divided into two parts are copied anyway.
            X = dense(X, dtype) if self.early_stopping else floats(X, dtype)
            self._fit_epochs(X, targets, weights, incremental=incremental)
        self._read_parameters()
        return self

    def _hidden_sizes(self) -> list[int]:
        sizes = self.hidden_layer_sizes
        sizes = list(sizes) if hasattr(sizes, "__iter__") else [sizes]
        for size in sizes:
            if isinstance(size, (bool, np.bool_)) or not isinstance(size, Integral):
                raise TypeError(f"hidden_layer_sizes must be integers, got {size!r} of type {type(size).__name__}.")
            if not 0 < int(size) < MOST:
                raise ValueError(f"hidden_layer_sizes must be > 0 and < {MOST}, got {sizes}.")
        return [int(size) for size in sizes]

    def _made_of(self, sizes: list[int]) -> dict[str, Any]:
        """The parameters that a network keeps from when it was made."""
        kept = {name: getattr(self, name) for name in ["activation", "normalization", "device", "precision"]}
        return {"hidden_layer_sizes": sizes, **kept}

    def _check_unchanged(self, before: dict[str, Any], now: dict[str, Any], what: str) -> None:
        changed = [f"{name} was {before.get(name)!r} and is {now[name]!r}" for name in now if before.get(name) != now[name]]
        if changed:
            raise ValueError(f"{what}, which cannot change: {'; '.join(changed)}. Set it back, or call fit with warm_start=False.")

    def _begin(self, inputs: int, sizes: list[int], outputs: int) -> None:
        """A network with new weights, and histories of no epoch."""
        self.n_outputs_ = outputs
        self.n_layers_ = len(sizes) + 2
        self.out_activation_ = self._output_activation()
        self._seed = seed_of(self.random_state)
        shape = {
            "inputs": inputs,
            "hidden": sizes,
            "outputs": outputs,
            "activation": ACTIVATIONS[self.activation],
            "output": {"logistic": "sigmoid"}.get(self.out_activation_, self.out_activation_),
            "normalization": self.normalization or "none",
            "seed": self._seed,
        }
        self._network_arguments = (shape, self.device, threads_of(self.n_jobs), self.precision)
        self._network = Network(*self._network_arguments)
        self._made = self._made_of(sizes)
        self._optimizer: dict[str, Any] | None = None
        self.n_iter_ = 0
        self.t_ = 0
        self.loss_curve_: list[float] = []
        # Until an epoch ends.
        self.loss_ = np.nan
        self._observe_from_now(self.early_stopping)

    def _observe_from_now(self, early_stopping: bool) -> None:
        """Histories of what ends the training: the score of held-out samples, or the loss."""
        self._no_improvement_count = 0
        self.validation_scores_: list[float] | None = [] if early_stopping else None
        self.best_validation_score_ = -np.inf if early_stopping else None
        self.best_loss_ = None if early_stopping else np.inf

    def _fit_epochs(
        self, X: np.ndarray, targets: np.ndarray, weights: np.ndarray | None, *, incremental: bool
    ) -> None:
        if incremental:
            self._check_partial()
        elif self.early_stopping != (self.best_loss_ is None):
            self._observe_from_now(self.early_stopping)
        X_val = targets_val = weights_val = None
        if self.early_stopping:
            parts = [X, targets] if weights is None else [X, targets, weights]
            parts = train_test_split(
                *parts,
                random_state=self._seed,
                test_size=self.validation_fraction,
                stratify=self._strata(targets),
            )
            X, X_val, targets, targets_val = parts[:4]
            weights, weights_val = parts[4:] or (None, None)
            if X_val.shape[0] < 2:
                raise ValueError(
                    "The validation set is too small. Increase 'validation_fraction' or the size of your dataset."
                )
            for part in (weights, weights_val):
                if part is not None and not np.any(part > 0):
                    raise ValueError(
                        f"{NO_WEIGHT} Those that early_stopping draws for training, or for validation, are all zero."
                    )
        dtype = np.dtype(self.precision)
        batch = self._batch(X.shape[0], incremental)
        l2 = self._penalty(min(batch, X.shape[0]), weights, incremental)
        rate = float(self.learning_rate_init)
        if incremental:
            self._optimizer = self._optimizer or {"rate": rate, "settings": self._optimizer_settings()}
        else:
            self._optimizer = None
        options = {
            "solver": self.solver,
            "rate": self._optimizer["rate"] if self._optimizer else rate,
            "rate_factor": rate / self._optimizer["rate"] if self._optimizer else 1.0,
            "momentum": float(self.momentum),
            "nesterov": bool(self.nesterovs_momentum),
            "beta_1": float(self.beta_1),
            "beta_2": float(self.beta_2),
            "epsilon": float(self.epsilon),
            "l2": l2,
            "dropout": float(self.dropout),
            "batch": batch,
            "shuffle": bool(self.shuffle),
            "seed": self._seed,
            "epochs": 1 if incremental else min(int(self.max_iter), MOST),
            "schedule": self._schedule(),
            "power": float(self.power_t),
            "seen": 0.0 if incremental else float(self.t_),
            "is_classes": self.out_activation_ == "softmax",
            "goes_on": incremental,
        }
        if weights is not None:
            weights = np.ascontiguousarray(weights, dtype=np.float64)
        watch = Watch(self, X.shape[0], options["l2"], (targets_val, weights_val), incremental)
        try:
            interrupted = self._network.fit(
                options,
                {
                    "x": X,
                    "t": np.ascontiguousarray(targets, dtype=dtype),
                    "weights": weights,
                    "validation": None if X_val is None else np.ascontiguousarray(X_val, dtype=dtype),
                },
                watch,
            )
        except FloatingPointError as error:
            raise ValueError(f"{NOT_FINITE} ({error})") from None
        if interrupted:
            if self.best_loss_ == np.inf:
                # No epoch has ended.
                self.best_loss_ = np.nan
            warnings.warn("Training interrupted by user.", stacklevel=5)
        elif watch.ended_by_max_iter and not incremental:
            warnings.warn(
                f"Stochastic Optimizer: Maximum iterations ({self.max_iter}) reached and the optimization hasn't "
                "converged yet.",
                ConvergenceWarning,
                stacklevel=5,
            )

    def _fit_lbfgs(self, X: np.ndarray, targets: np.ndarray, weights: np.ndarray | None) -> None:
        for name, default in [("dropout", 0), ("schedule", None), ("normalization", None)]:
            if getattr(self, name) != default and not (name == "normalization" and self.normalization == "layer"):
                raise ValueError(f"solver='lbfgs' trains on all samples at once, without {name}={getattr(self, name)!r}")
        self.loss_curve_ = []
        self._optimizer = None
        limits = {
            "alpha": float(self.alpha),
            "iterations": min(int(self.max_iter), MOST),
            "evaluations": min(int(self.max_fun), MOST),
            "tolerance": float(self.tol),
            "is_classes": self.out_activation_ == "softmax",
        }
        data = {
            "x": X,
            "t": np.ascontiguousarray(targets, dtype=np.dtype(self.precision)),
            "weights": None if weights is None else np.ascontiguousarray(weights, dtype=np.float64),
            "validation": None,
        }

        def watch(iterations: int, cost: float) -> bool:
            self.loss_curve_.append(cost)
            if self.verbose:
                print(f"Iteration {iterations}, loss = {cost:.8f}")
            epoch = {"epoch": iterations, "loss": cost, "score": None}
            return any([callback(epoch) for callback in self.callbacks or []])

        end, self.n_iter_, self.loss_ = self._network.minimize(limits, data, watch)
        self.best_loss_ = self.loss_
        self.t_ += self.n_iter_ * X.shape[0]
        if end == "interrupted":
            warnings.warn("Training interrupted by user.", stacklevel=5)
        elif end in ("iterations", "evaluations"):
            warnings.warn(
                f"lbfgs failed to converge after {self.n_iter_} iteration(s): it reached the limit of {end}. Increase "
                "max_iter or max_fun, or scale the data.",
                ConvergenceWarning,
                stacklevel=5,
            )

    def _batch(self, samples: int, incremental: bool) -> int:
        if self.batch_size == "auto":
            # The steps of partial_fit share one optimizer, which is made for one size.
            return 200 if incremental else min(200, samples)
        if self.batch_size > samples and not incremental:
            warnings.warn(
                "Got `batch_size` less than 1 or larger than sample size. It is going to be clipped", stacklevel=6
            )
            return samples
        return min(int(self.batch_size), MOST)

    def _check_partial(self) -> None:
        if self.early_stopping:
            raise ValueError("partial_fit does not support early_stopping=True")
        if self.schedule is not None:
            raise ValueError(f"partial_fit does not support schedule={self.schedule!r}, which is made for max_iter epochs")
        if self._optimizer is not None:
            what = "partial_fit goes on with the optimizer of its first call"
            self._check_unchanged(self._optimizer["settings"], self._optimizer_settings(), what)

    def _optimizer_settings(self) -> dict[str, Any]:
        """The parameters that an optimizer keeps; its rate may change."""
        own = {"adam": ["beta_1", "beta_2", "epsilon"], "sgd": ["momentum", "nesterovs_momentum"]}[self.solver]
        return {name: getattr(self, name) for name in ["solver", "alpha", "batch_size", "dropout", *own]}

    def _penalty(self, samples: int, weights: np.ndarray | None, incremental: bool) -> float:
        """The factor of half the squared weights: alpha, divided by the samples of a step as the loss is."""
        if not incremental:
            return float(self.alpha) / (samples * (1.0 if weights is None else float(np.mean(weights))))
        # One optimizer makes all steps of partial_fit, with the penalty of the first.
        if self._optimizer is None:
            self._first_penalty = float(self.alpha) / samples
        return self._first_penalty

    def _schedule(self) -> str:
        if self.schedule is not None:
            return str(self.schedule)
        # As in scikit-learn, the rate of adam is its own.
        return str(self.learning_rate) if self.solver == "sgd" else "constant"

    # --- Weights ---

    @property
    def coefs_(self) -> tuple[np.ndarray, ...]:
        return self._parameters_of("coefs_")

    @coefs_.setter
    def coefs_(self, values: Any) -> None:
        self._replace("coefs_", values)

    @property
    def intercepts_(self) -> tuple[np.ndarray, ...]:
        return self._parameters_of("intercepts_")

    @intercepts_.setter
    def intercepts_(self, values: Any) -> None:
        self._replace("intercepts_", values)

    def _parameters_of(self, name: str) -> tuple[np.ndarray, ...]:
        try:
            return self.__dict__["_parameters"][PLACES[name]]
        except KeyError:
            raise AttributeError(f"'{type(self).__name__}' object has no attribute '{name}' before it is fitted") from None

    def _replace(self, name: str, values: Any) -> None:
        """Weights or biases of all layers become those of the network; the optimizer begins anew."""
        place = PLACES[name]
        layers = self._network.parameters()
        own = [layer for layer in layers if layer[0].ndim == 2]
        shapes = [layer[place].shape for layer in own]
        with np.errstate(over="ignore"):
            arrays = [np.array(value, dtype=layers[0][0].dtype, order="C") for value in values]
        if [array.shape for array in arrays] != shapes:
            raise ValueError(f"{name} has arrays of shapes {shapes}, got {[array.shape for array in arrays]}")
        if not all(np.isfinite(array).all() for array in arrays):
            raise ValueError(f"{name} has numbers that are not finite, or too large for {layers[0][0].dtype!r}")
        for layer, array in zip(own, arrays, strict=True):
            layer[place] = array
        self._network.set_parameters(layers)
        self._optimizer = None
        self._read_parameters()

    def _read_parameters(self) -> None:
        layers = [layer[:2] for layer in self._network.parameters() if layer[0].ndim == 2]
        for values in sum(layers, []):
            if not np.isfinite(values).all():
                raise ValueError(NOT_FINITE)
            values.flags.writeable = False
        self._parameters = tuple(zip(*layers, strict=True))

    # --- Prediction ---

    def _outputs(self, X: Any) -> np.ndarray:
        """The network's outputs, ``(n_samples, n_outputs)``."""
        network = self.__dict__.get("_network")
        # An array that needs no conversion, with nothing to check but its numbers, which the cast checks.
        is_plain = (
            network is not None
            and type(X) is np.ndarray
            and X.ndim == 2
            and X.dtype.kind == "f"
            and X.dtype.itemsize <= 8
            and X.shape[1] == self.n_features_in_
            and X.shape[0] > 0
            and "feature_names_in_" not in self.__dict__
        )
        if not is_plain:
            check_is_fitted(self)
            X = validate_data(self, X, accept_sparse="csr", dtype=(np.float64, np.float32), reset=False)
        dtype = np.dtype(self._network_arguments[3])
        rows = SPARSE_ROWS if hasattr(X, "toarray") else max(1024, PREDICTED_NUMBERS // X.shape[1])
        if X.shape[0] <= rows:
            return self._network.predict(dense(X, dtype))
        # Python runs handlers of signals between the parts.
        parts = range(0, X.shape[0], rows)
        return np.concatenate([self._network.predict(dense(X[i : i + rows], dtype, i), first=i) for i in parts])

    # --- Files and copies ---

    def __getstate__(self) -> dict[str, Any]:
        state = super().__getstate__().copy()
        if "_network" in state:
            state["_network"] = (self._network.parameters(), self._network.optimizer_state())
            state.pop("_parameters", None)
        return state

    def __setstate__(self, state: dict[str, Any]) -> None:
        super().__setstate__(state)
        if isinstance(self.__dict__.get("_network"), tuple):
            parameters, optimizer_state = self.__dict__["_network"]
            self._network = Network(*self._network_arguments)
            self._network.set_parameters(parameters)
            if optimizer_state is not None:
                self._network.set_optimizer_state(optimizer_state)
            self._read_parameters()

    def _model_info(self) -> dict[str, Any]:
        raise NotImplementedError

    def to_model(self) -> Any:
        """The trained network as a :class:`Model`, which the command line and Rust read.

        Returns
        -------
        Model
        """
        from ._model import Model

        check_is_fitted(self)
        info = self._model_info()
        names = getattr(self, "feature_names_in_", [])
        info["features"] = [str(name) for name in names]
        info["training"] = [("program", "travertine for Python"), ("epochs", str(self.n_iter_))]
        shape, device, threads, precision = self._network_arguments
        bytes_ = self._network.model_bytes(info)
        return Model._from_bytes(bytes_, {"float32": "f32", "float64": "f64"}[precision], device, threads)

    def save(self, path: str | os.PathLike[str]) -> None:
        """Writes a model file for ``travertine predict``, :meth:`Model.load` and Rust.

        Parameters
        ----------
        path : str or path-like
            The file. It holds the old or the new model at any moment.
        """
        self.to_model().save(path)

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.input_tags.sparse = True
        return tags
