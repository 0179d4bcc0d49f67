"""Estimators for tables as they are, with texts, dates and gaps: what ``travertine train`` does with a table."""

from __future__ import annotations

import json
import os
import warnings
from numbers import Integral, Real
from typing import Any

import numpy as np
from sklearn.base import BaseEstimator, ClassifierMixin, RegressorMixin
from sklearn.utils import column_or_1d
from sklearn.utils.class_weight import compute_sample_weight
from sklearn.utils._param_validation import Interval, StrOptions
from sklearn.utils.multiclass import check_classification_targets
from sklearn.utils.validation import (
    _check_feature_names,
    _check_n_features,
    _check_sample_weight,
    check_consistent_length,
    check_is_fitted,
    validate_data,
)

from ._columns import Column, check_distinct, each_column, is_frame, is_missing, kind_of, names_of, values_of, warn_of_identifiers
from ._common import MOST, check_labels, seed_of, threads_of, with_types
from ._model import Model
from ._transaction import all_or_nothing
from ._travertine import train_table
from ._words import in_python

_PARAMETERS = """
    Parameters
    ----------
    preset : {'auto', 'tabm', 'plain'}, default='auto'
        The recipe: 'auto' is a network whose parts and sizes suit the rows and columns; 'tabm' is many networks in one that
        share their weights, which is slower; 'plain' is one hidden layer and gradient descent.
    quality : {'fast', 'best'}, default='fast'
        One network, or five, each tested on another fifth of the samples, whose mean is the answer.
    time_limit : float or None, default=None
        Seconds that the training may take, about; there are fewer epochs where they take longer.
    held_out : float, default=0.2
        Share of the samples that chooses the best epoch and judges the model (``held_out_``). With quality='best', which
        uses every sample, it is held out only where it is not the default.
    max_iter : int or None, default=None
        Epochs, instead of those of the recipe.
    random_state : int, RandomState instance or None, default=None
        The same number gives the same bits, for any ``n_jobs``.
    device : str, default='cpu'
        'cpu', or a name from :func:`travertine.devices`, such as 'cuda:0'.
    n_jobs : int or None, default=None
        Threads of the CPU; None and -1 are all cores.
    precision : {'float32', 'float64'}, default='float32'
        Of the weights and of all computations.
    verbose : bool, default=False
        Whether the lines that the command line prints are printed."""

_ATTRIBUTES = """
    held_out_ : dict or None
        How good the model is on the samples held out: the metric, its interval, and what a constant and a linear model reach.
        Each of these samples counts once, whatever its weight.
    n_iter_ : int
        The epoch whose weights the model has.
    notes_ : list of str
        What was chosen, and why.
    model_ : Model
        The trained model, which :meth:`Model.save` writes for the command line and Rust.
    n_features_in_, feature_names_in_ :
        The columns.
"""


class _BaseTabular(BaseEstimator):
    _parameter_constraints: dict[str, list[Any]] = {
        "preset": [StrOptions({"auto", "tabm", "plain"})],
        "quality": [StrOptions({"fast", "best"})],
        "time_limit": [Interval(Real, 0, None, closed="neither"), None],
        "held_out": [Interval(Real, 0, 1, closed="left")],
        "max_iter": [Interval(Integral, 1, None, closed="left"), None],
        "random_state": ["random_state"],
        "device": [str],
        "n_jobs": [Integral, None],
        "precision": [StrOptions({"float32", "float64"})],
        "verbose": ["verbose"],
    }

    def _options(self) -> list[str]:
        options = ["--preset", self.preset, "--quality", self.quality, "--seed", str(seed_of(self.random_state))]
        options += ["--device", self.device, "--precision", {"float32": "f32", "float64": "f64"}[self.precision]]
        if self.quality == "fast" or self.held_out != 0.2:
            options += ["--held-out", str(float(self.held_out))]
        if self.time_limit is not None:
            options += ["--time-limit", str(float(self.time_limit))]
        if self.max_iter is not None:
            options += ["--epochs", str(min(int(self.max_iter), MOST))]
        threads = threads_of(self.n_jobs)
        return options if threads is None else [*options, "--threads", str(threads)]

    def _sample_weight(self, sample_weight: Any, X: Any) -> np.ndarray | None:
        """The weights as numbers."""
        if sample_weight is None:
            return None
        # The rows of a frame count as those of its first column, whatever the types of the others.
        rows = X[list(X.columns)[0]] if is_frame(X) else X
        weights: np.ndarray = _check_sample_weight(sample_weight, rows, dtype=np.float64, ensure_non_negative=True)
        if not np.any(weights > 0):
            # Newer versions of scikit-learn say the same.
            raise ValueError("Sample weights must contain at least one non-zero number.")
        return weights

    def _train(
        self, X: Any, learned: tuple[list[Any], list[str]], weights: np.ndarray | None, options: list[str]
    ) -> None:
        if weights is not None and "--calibrate" in options:
            raise ValueError("calibrate=True counts each sample once; use it without weights")
        self.notes_: list[str] = []
        complaints: list[str] = []

        def tell(line: str) -> None:
            self.notes_.append(line)
            if line.startswith("warning: "):
                complaints.append(line.removeprefix("warning: "))
            if self.verbose:
                print(line)

        listed = None if weights is None else weights.tolist()
        columns = self._columns(X)
        try:
            model, result = train_table(columns, learned, listed, self._options() + options, tell)
        except ValueError as error:
            raise ValueError(in_python(str(error))) from None
        for complaint in complaints:
            warnings.warn(in_python(complaint), UserWarning, stacklevel=4)
        precision = {"float32": "f32", "float64": "f64"}[self.precision]
        self.model_ = Model._from_bytes(model, precision, self.device, threads_of(self.n_jobs))
        self.held_out_ = json.loads(result)["held_out"]
        self.n_iter_ = int(json.loads(result)["epochs"])

    def _check(self, X: Any, *, reset: bool) -> Any:
        """The samples as a data frame, or as an array; sets or checks what is known of the columns."""
        X = self._checked_frame(X, reset) if is_frame(X) else self._checked_array(X, reset)
        if reset:
            self._kinds = [(name, kind_of(name, values)) for name, values in each_column(X)]
            for (name, kind), (_, values) in zip(self._kinds, each_column(X), strict=True):
                warn_of_identifiers(name, kind, values, stacklevel=4)
        return X

    def _checked_frame(self, X: Any, reset: bool) -> Any:
        names = names_of(X)
        if reset:
            check_distinct(names, names)
        _check_feature_names(self, X, reset=reset)
        least = 2 if reset else 1
        if len(X) < least:
            raise ValueError(f"Found array with {len(X)} sample(s) while a minimum of {least} is required.")
        _check_n_features(self, X, reset=reset)
        if reset:
            self._names: list[str] | None = names
        elif self._names is not None and names != self._names:
            # scikit-learn compares names that are texts alone.
            raise ValueError(
                f"The feature names should match those that were passed during fit: they were {self._names}, they are {names}"
            )
        return X

    def _checked_array(self, X: Any, reset: bool) -> np.ndarray:
        X = with_types(X)
        X = validate_data(
            self,
            X,
            dtype=None,
            ensure_all_finite="allow-nan" if np.asarray(X).dtype.kind in "fiub" else False,
            ensure_min_samples=2 if reset else 1,
            reset=reset,
        )
        if X.dtype.kind in "cmM":
            raise ValueError("Complex data not supported" if X.dtype.kind == "c" else "dates need a data frame")
        if reset:
            self._names = None
        return X

    def _columns(self, X: Any) -> list[Column]:
        columns = zip(self._kinds, each_column(X), strict=True)
        return [values_of(kind, name, values) for (name, kind), (_, values) in columns]

    def _answer(self, X: Any) -> np.ndarray:
        check_is_fitted(self)
        X = self._check(X, reset=False)
        return self.model_._answers_for(self._columns(X), len(X))[1]

    def save(self, path: str | os.PathLike[str]) -> None:
        """Writes a model file for ``travertine predict``, :meth:`Model.load` and Rust.

        Parameters
        ----------
        path : str or path-like
            The file. It holds the old or the new model at any moment.
        """
        check_is_fitted(self)
        self.model_.save(path)

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.input_tags.allow_nan = True
        tags.input_tags.string = True
        return tags


class TabularClassifier(ClassifierMixin, _BaseTabular):
    __doc__ = f"""Classes from tables as they are: texts, dates and missing values need no preparation.
{_PARAMETERS}
    calibrate : bool, default=False
        Whether probabilities are made honest by the samples held out; not with weights.
    class_weight : dict, 'balanced' or None, default=None
        Weights of the classes, as in scikit-learn. The first epoch of the highest weighted accuracy on the samples held out is
        kept: beside far heavier classes, a class hardly counts for that choice.

    Attributes
    ----------
    classes_ : ndarray of shape (n_classes,)
        The labels, sorted.
{_ATTRIBUTES}
    Examples
    --------
    >>> import numpy as np
    >>> from travertine import TabularClassifier
    >>> X = np.array([[i % 7, i % 5] for i in range(200)])
    >>> y = np.where(X[:, 0] > 3, "high", "low")
    >>> classifier = TabularClassifier(max_iter=20, random_state=1).fit(X, y)
    >>> classifier.score(X, y) > 0.9
    True
    """

    _parameter_constraints: dict[str, list[Any]] = {
        **_BaseTabular._parameter_constraints,
        "calibrate": ["boolean"],
        "class_weight": [dict, StrOptions({"balanced"}), None],
    }

    def __init__(
        self,
        *,
        preset: str = "auto",
        quality: str = "fast",
        time_limit: float | None = None,
        held_out: float = 0.2,
        max_iter: int | None = None,
        calibrate: bool = False,
        class_weight: Any = None,
        random_state: Any = None,
        device: str = "cpu",
        n_jobs: int | None = None,
        precision: str = "float32",
        verbose: bool = False,
    ) -> None:
        self.preset = preset
        self.quality = quality
        self.time_limit = time_limit
        self.held_out = held_out
        self.max_iter = max_iter
        self.calibrate = calibrate
        self.class_weight = class_weight
        self.random_state = random_state
        self.device = device
        self.n_jobs = n_jobs
        self.precision = precision
        self.verbose = verbose

    @all_or_nothing
    def fit(self, X: Any, y: Any, sample_weight: Any = None) -> TabularClassifier:
        """Trains the model.

        Parameters
        ----------
        X : data frame, or array-like of shape (n_samples, n_columns)
            The rows: numbers, texts, booleans, dates, and gaps.
        y : array-like of shape (n_samples,)
            The classes.
        sample_weight : array-like of shape (n_samples,), default=None
            How much each sample counts for the training and for the choice of the best epoch. Random parts and batches are drawn
            by rows, and scales of columns count each row once, so that a weight of 2 is not the same as a row that is there twice.

        Returns
        -------
        self
        """
        self._validate_params()
        X = self._check(X, reset=True)
        y = column_or_1d(_known(y), warn=True)
        check_consistent_length(X, y)
        check_classification_targets(y)
        self.classes_, labels = np.unique(y, return_inverse=True)
        if len(self.classes_) < 2:
            raise ValueError(f"there is 1 class, {self.classes_[0]!s}; at least 2 classes are needed to learn from")
        weights = self._sample_weight(sample_weight, X)
        if self.class_weight is not None:
            of_class = compute_sample_weight(self.class_weight, y)
            weights = of_class if weights is None else weights * of_class
        options = ["--calibrate"] if self.calibrate else []
        if self.quality == "fast" and self.held_out > 0:
            # Every class that has two samples has one to learn from.
            options.append("--stratify")
        self._train(X, (labels.tolist(), [str(name) for name in self.classes_]), weights, options)
        return self

    def predict(self, X: Any) -> np.ndarray:
        """The classes.

        Parameters
        ----------
        X : data frame, or array-like of shape (n_samples, n_columns)

        Returns
        -------
        ndarray of shape (n_samples,)
        """
        places = self._answer(X).argmax(axis=1)
        return self.classes_[places]

    def predict_proba(self, X: Any) -> np.ndarray:
        """The probabilities of the classes.

        Parameters
        ----------
        X : data frame, or array-like of shape (n_samples, n_columns)

        Returns
        -------
        ndarray of shape (n_samples, n_classes)
        """
        probabilities = self._answer(X)
        return probabilities / probabilities.sum(axis=1, keepdims=True)


class TabularRegressor(RegressorMixin, _BaseTabular):
    __doc__ = f"""Values from tables as they are: texts, dates and missing values need no preparation.
{_PARAMETERS}
    quantiles : list of float or None, default=None
        Levels such as [0.1, 0.5, 0.9], whose quantiles are predicted instead of the mean.
    calibrate : bool, default=False
        Whether quantiles are moved so that their shares of the samples held out lie below them; not with weights.

    Attributes
    ----------
{_ATTRIBUTES}
    Examples
    --------
    >>> import numpy as np
    >>> from travertine import TabularRegressor
    >>> X = np.array([[i % 7, i % 5] for i in range(200)], dtype=float)
    >>> y = 2 * X[:, 0] - X[:, 1]
    >>> regressor = TabularRegressor(max_iter=30, random_state=1).fit(X, y)
    >>> regressor.score(X, y) > 0.9
    True
    """

    _parameter_constraints: dict[str, list[Any]] = {
        **_BaseTabular._parameter_constraints,
        "quantiles": ["array-like", None],
        "calibrate": ["boolean"],
    }

    def __init__(
        self,
        *,
        preset: str = "auto",
        quality: str = "fast",
        time_limit: float | None = None,
        held_out: float = 0.2,
        max_iter: int | None = None,
        quantiles: Any = None,
        calibrate: bool = False,
        random_state: Any = None,
        device: str = "cpu",
        n_jobs: int | None = None,
        precision: str = "float32",
        verbose: bool = False,
    ) -> None:
        self.preset = preset
        self.quality = quality
        self.time_limit = time_limit
        self.held_out = held_out
        self.max_iter = max_iter
        self.quantiles = quantiles
        self.calibrate = calibrate
        self.random_state = random_state
        self.device = device
        self.n_jobs = n_jobs
        self.precision = precision
        self.verbose = verbose

    @all_or_nothing
    def fit(self, X: Any, y: Any, sample_weight: Any = None) -> TabularRegressor:
        """Trains the model.

        Parameters
        ----------
        X : data frame, or array-like of shape (n_samples, n_columns)
            The rows: numbers, texts, booleans, dates, and gaps.
        y : array-like of shape (n_samples,) or (n_samples, n_values)
            The values.
        sample_weight : array-like of shape (n_samples,), default=None
            How much each sample counts for the training and for the choice of the best epoch. Random parts and batches are drawn
            by rows, and scales of columns count each row once, so that a weight of 2 is not the same as a row that is there twice.

        Returns
        -------
        self
        """
        self._validate_params()
        X = self._check(X, reset=True)
        y = np.asarray(_known(y), dtype=np.float64)
        if y.ndim not in (1, 2):
            raise ValueError(f"Found array with dim {y.ndim}, while dim <= 2 is required for y.")
        if y.ndim == 2 and y.shape[1] == 1:
            y = column_or_1d(y, warn=True)
        if not np.isfinite(y).all():
            raise ValueError("Input y contains NaN or infinity.")
        check_consistent_length(X, y)
        targets = y.reshape(len(y), -1)
        names = ["y"] if targets.shape[1] == 1 else [f"y{i}" for i in range(targets.shape[1])]
        options = ["--calibrate"] if self.calibrate else []
        if self.quantiles is not None:
            options += ["--quantiles", ",".join(str(float(level)) for level in self.quantiles)]
        self._train(X, (targets.ravel().tolist(), names), self._sample_weight(sample_weight, X), options)
        return self

    def predict(self, X: Any) -> np.ndarray:
        """The values, or their quantiles.

        Parameters
        ----------
        X : data frame, or array-like of shape (n_samples, n_columns)

        Returns
        -------
        ndarray of shape (n_samples,), or (n_samples, n_values) for several values or quantiles
        """
        values = self._answer(X)
        return values[:, 0] if values.shape[1] == 1 else values

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.target_tags.multi_output = True
        return tags


def _known(y: Any) -> Any:
    if y is None:
        raise ValueError("requires y to be passed, but the target y is None")
    is_list = not hasattr(y, "dtype")
    y = np.asarray(with_types(y))
    if y.dtype.kind == "c":
        raise ValueError("Complex data not supported")
    if y.dtype.kind in "fO" and any(is_missing(value) for value in y.ravel()):
        raise ValueError("Input y contains NaN.")
    if y.dtype.kind == "f" and not np.isfinite(y).all():
        raise ValueError("Input y contains infinity.")
    check_labels(y)
    return y.astype(str) if is_list and y.dtype.kind == "O" and isinstance(y.flat[0], str) else y
