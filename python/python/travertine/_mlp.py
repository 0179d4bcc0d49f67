"""Estimators with the interface of scikit-learn's multilayer perceptrons."""

from __future__ import annotations

from typing import Any

import numpy as np
from sklearn.base import ClassifierMixin, RegressorMixin
from sklearn.metrics import accuracy_score, r2_score
from sklearn.preprocessing import LabelBinarizer
from sklearn.utils import column_or_1d
from sklearn.utils._param_validation import StrOptions
from sklearn.utils.class_weight import compute_sample_weight
from sklearn.utils.metaestimators import available_if
from sklearn.utils.multiclass import type_of_target, unique_labels

from ._base import BaseMLP
from ._common import check_labels
from ._parameters import PARAMETERS
from ._transaction import all_or_nothing

# The words of scikit-learn's SGDClassifier.
BALANCED = (
    "class_weight 'balanced' is not supported for partial_fit. In order to use 'balanced' weights, use "
    "compute_class_weight('balanced', classes=classes, y=y). In place of y you can use a large enough sample of the full training "
    "set target to properly estimate the class frequency distributions. Pass the resulting weights as the class_weight parameter."
)


def _can_partial_fit(estimator: BaseMLP) -> bool:
    if estimator.solver == "lbfgs":
        raise AttributeError(
            f"partial_fit is only available for stochastic optimizers. {estimator.solver} is not stochastic."
        )
    return True


class MLPClassifier(ClassifierMixin, BaseMLP):
    __doc__ = f"""A multilayer perceptron for classes; the interface is that of scikit-learn's.
{PARAMETERS}
    class_weight : dict, 'balanced' or None, default=None
        Factors of the losses of classes.

    Attributes
    ----------
    classes_ : ndarray of shape (n_classes,)
        The labels, sorted.
    coefs_, intercepts_ : tuple of ndarray
        Weights, inputs x outputs, and biases of each layer. The arrays are read-only copies; a list of other arrays that is
        assigned replaces those of the network.
    loss_curve_ : list of float
        The loss of each epoch.
    loss_, best_loss_ : float
        The last and the least of them.
    validation_scores_, best_validation_score_ :
        With ``early_stopping``: the accuracy of each epoch, and the best.
    n_iter_, t_ : int
        Epochs of the last ``fit``, and samples seen.
    n_layers_, n_outputs_, out_activation_, n_features_in_, feature_names_in_ :
        The shape of the network.

    Examples
    --------
    >>> from sklearn.datasets import load_iris
    >>> from travertine import MLPClassifier
    >>> X, y = load_iris(return_X_y=True)
    >>> classifier = MLPClassifier(max_iter=500, random_state=1).fit(X, y)
    >>> classifier.score(X, y) > 0.95
    True
    """

    _parameter_constraints: dict[str, list[Any]] = {
        **BaseMLP._parameter_constraints,
        "class_weight": [dict, list, StrOptions({"balanced"}), None],
    }

    def __init__(
        self,
        hidden_layer_sizes: Any = (100,),
        activation: str = "relu",
        *,
        solver: str = "adam",
        alpha: float = 0.0001,
        batch_size: int | str = "auto",
        learning_rate: str = "constant",
        learning_rate_init: float = 0.001,
        power_t: float = 0.5,
        max_iter: int = 200,
        shuffle: bool = True,
        random_state: Any = None,
        tol: float = 1e-4,
        verbose: bool = False,
        warm_start: bool = False,
        momentum: float = 0.9,
        nesterovs_momentum: bool = True,
        early_stopping: bool = False,
        validation_fraction: float = 0.1,
        beta_1: float = 0.9,
        beta_2: float = 0.999,
        epsilon: float = 1e-8,
        n_iter_no_change: int = 10,
        max_fun: int = 15000,
        dropout: float = 0.0,
        normalization: str | None = None,
        class_weight: Any = None,
        schedule: str | None = None,
        device: str = "cpu",
        n_jobs: int | None = None,
        precision: str = "float32",
        callbacks: Any = None,
    ) -> None:
        self.hidden_layer_sizes = hidden_layer_sizes
        self.activation = activation
        self.solver = solver
        self.alpha = alpha
        self.batch_size = batch_size
        self.learning_rate = learning_rate
        self.learning_rate_init = learning_rate_init
        self.power_t = power_t
        self.max_iter = max_iter
        self.shuffle = shuffle
        self.random_state = random_state
        self.tol = tol
        self.verbose = verbose
        self.warm_start = warm_start
        self.momentum = momentum
        self.nesterovs_momentum = nesterovs_momentum
        self.early_stopping = early_stopping
        self.validation_fraction = validation_fraction
        self.beta_1 = beta_1
        self.beta_2 = beta_2
        self.epsilon = epsilon
        self.n_iter_no_change = n_iter_no_change
        self.max_fun = max_fun
        self.dropout = dropout
        self.normalization = normalization
        self.class_weight = class_weight
        self.schedule = schedule
        self.device = device
        self.n_jobs = n_jobs
        self.precision = precision
        self.callbacks = callbacks

    @all_or_nothing
    def fit(self, X: Any, y: Any, sample_weight: Any = None) -> MLPClassifier:
        """Trains the network.

        Parameters
        ----------
        X : array-like or sparse matrix of shape (n_samples, n_features)
            The samples. A sparse matrix becomes a dense one of ``precision``.
        y : array-like of shape (n_samples,) or (n_samples, n_outputs)
            The classes, or 0 and 1 for each of several labels.
        sample_weight : array-like of shape (n_samples,), default=None
            Factors of the losses of samples.

        Returns
        -------
        self
        """
        check_labels(y)
        return self._fit(X, y, sample_weight)

    @available_if(_can_partial_fit)
    @all_or_nothing
    def partial_fit(self, X: Any, y: Any, sample_weight: Any = None, classes: Any = None) -> MLPClassifier:
        """One pass over these samples; the optimizer goes on from the last call.

        Parameters
        ----------
        X, y, sample_weight :
            As of :meth:`fit`.
        classes : array-like of shape (n_classes,), default=None
            All classes that any call will have; needed in the first one.

        Returns
        -------
        self
        """
        check_labels(y)
        if isinstance(self.class_weight, str) and self.class_weight == "balanced":
            raise ValueError(BALANCED)
        if not hasattr(self, "classes_"):
            if classes is None:
                raise ValueError("classes must be passed on the first call to partial_fit.")
            self._label_binarizer = LabelBinarizer()
            if type_of_target(y).startswith("multilabel"):
                self._label_binarizer.fit(y)
                self.classes_ = self._label_binarizer.classes_
            else:
                self.classes_ = unique_labels(classes)
                self._label_binarizer.fit(self.classes_)
        elif classes is not None and not np.array_equal(self.classes_, unique_labels(classes)):
            raise ValueError(
                f"`classes={classes}` is not the same as on last call to partial_fit, was: {self.classes_}"
            )
        return self._fit(X, y, sample_weight, incremental=True)

    def _validate_targets(self, y: Any, *, incremental: bool) -> np.ndarray:
        if y.ndim == 2 and y.shape[1] == 1:
            y = column_or_1d(y, warn=True)
        if not hasattr(self, "classes_") or (not self.warm_start and not incremental):
            self._label_binarizer = LabelBinarizer().fit(y)
            self.classes_ = self._label_binarizer.classes_
        else:
            found = unique_labels(y)
            if self.warm_start and set(found) != set(self.classes_):
                raise ValueError(
                    "warm_start can only be used where `y` has the same classes as in the previous call to fit. "
                    f"Previously got {self.classes_}, `y` has {found}"
                )
            if len(np.setdiff1d(found, self.classes_, assume_unique=True)):
                raise ValueError(
                    f"`y` has classes not in `self.classes_`. `self.classes_` has {self.classes_}. 'y' has {found}."
                )
        targets = self._label_binarizer.transform(y)
        return np.asarray(targets.toarray() if hasattr(targets, "toarray") else targets)

    def _output_activation(self) -> str:
        return "softmax" if self._label_binarizer.y_type_ == "multiclass" else "logistic"

    def _weights(self, y: np.ndarray, sample_weight: np.ndarray | None) -> np.ndarray | None:
        if self.class_weight is None:
            return sample_weight
        own = compute_sample_weight(self.class_weight, y)
        return own if sample_weight is None else own * sample_weight

    def _unit_of_loss(self) -> float:
        return 1.0

    def _strata(self, targets: np.ndarray) -> np.ndarray | None:
        # As in scikit-learn, where there is one output.
        return targets[:, 0] if self.n_outputs_ == 1 else None

    def _predicted(self, outputs: np.ndarray) -> np.ndarray:
        """The targets that outputs mean: 0 and 1."""
        if self.out_activation_ == "softmax":
            return np.eye(self.n_outputs_, dtype=int)[outputs.argmax(axis=1)]
        return (outputs > 0.5).astype(int)

    def _score_outputs(self, outputs: np.ndarray, targets: np.ndarray, weights: np.ndarray | None) -> float:
        return float(accuracy_score(targets, self._predicted(outputs), sample_weight=weights))

    def predict(self, X: Any) -> np.ndarray:
        """The classes.

        Parameters
        ----------
        X : array-like or sparse matrix of shape (n_samples, n_features)

        Returns
        -------
        ndarray of shape (n_samples,) or (n_samples, n_outputs)
        """
        outputs = self._outputs(X)
        if self.out_activation_ == "softmax":
            return self.classes_[outputs.argmax(axis=1)]
        if self._label_binarizer.y_type_.startswith("multilabel"):
            return (outputs > 0.5).astype(int)
        # Of one class there is one.
        return self.classes_[np.minimum((outputs[:, 0] > 0.5).astype(int), len(self.classes_) - 1)]

    def predict_proba(self, X: Any) -> np.ndarray:
        """The probabilities of the classes.

        Parameters
        ----------
        X : array-like or sparse matrix of shape (n_samples, n_features)

        Returns
        -------
        ndarray of shape (n_samples, n_classes)
        """
        outputs = self._outputs(X).astype(np.float64)
        if self.n_outputs_ == 1:
            return np.hstack([1.0 - outputs, outputs])
        if self.out_activation_ == "softmax":
            outputs /= outputs.sum(axis=1, keepdims=True)
        return outputs

    def predict_log_proba(self, X: Any) -> np.ndarray:
        """The logarithms of :meth:`predict_proba`.

        Parameters
        ----------
        X : array-like or sparse matrix of shape (n_samples, n_features)

        Returns
        -------
        ndarray of shape (n_samples, n_classes)
        """
        with np.errstate(divide="ignore"):
            return np.log(self.predict_proba(X))

    def _model_info(self) -> dict[str, Any]:
        if self._label_binarizer.y_type_.startswith("multilabel"):
            names = [f"label {i}" for i in range(self.n_outputs_)]
            return {"loss": "binary_cross_entropy", "classes": [], "target": ", ".join(names)}
        loss = "softmax_cross_entropy" if self.out_activation_ == "softmax" else "binary_cross_entropy"
        if len(self.classes_) < 2:
            raise ValueError(f"there is 1 class, {self.classes_[0]!s}; a model file needs 2 or more")
        return {"loss": loss, "classes": [str(name) for name in self.classes_], "target": None}

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.classifier_tags.multi_label = True
        return tags


class MLPRegressor(RegressorMixin, BaseMLP):
    __doc__ = f"""A multilayer perceptron for values; the interface is that of scikit-learn's.
{PARAMETERS}

    Attributes
    ----------
    coefs_, intercepts_ : tuple of ndarray
        Weights, inputs x outputs, and biases of each layer. The arrays are read-only copies; a list of other arrays that is
        assigned replaces those of the network.
    loss_curve_ : list of float
        The loss of each epoch: half the mean squared error.
    loss_, best_loss_ : float
        The last and the least of them.
    validation_scores_, best_validation_score_ :
        With ``early_stopping``: R2 of each epoch, and the best.
    n_iter_, t_ : int
        Epochs of the last ``fit``, and samples seen.
    n_layers_, n_outputs_, out_activation_, n_features_in_, feature_names_in_ :
        The shape of the network.

    Examples
    --------
    >>> import numpy as np
    >>> from travertine import MLPRegressor
    >>> X = np.linspace(-2, 2, 200).reshape(-1, 1)
    >>> regressor = MLPRegressor(max_iter=1000, random_state=1).fit(X, X.ravel() ** 2)
    >>> regressor.score(X, X.ravel() ** 2) > 0.95
    True
    """

    def __init__(
        self,
        hidden_layer_sizes: Any = (100,),
        activation: str = "relu",
        *,
        solver: str = "adam",
        alpha: float = 0.0001,
        batch_size: int | str = "auto",
        learning_rate: str = "constant",
        learning_rate_init: float = 0.001,
        power_t: float = 0.5,
        max_iter: int = 200,
        shuffle: bool = True,
        random_state: Any = None,
        tol: float = 1e-4,
        verbose: bool = False,
        warm_start: bool = False,
        momentum: float = 0.9,
        nesterovs_momentum: bool = True,
        early_stopping: bool = False,
        validation_fraction: float = 0.1,
        beta_1: float = 0.9,
        beta_2: float = 0.999,
        epsilon: float = 1e-8,
        n_iter_no_change: int = 10,
        max_fun: int = 15000,
        dropout: float = 0.0,
        normalization: str | None = None,
        schedule: str | None = None,
        device: str = "cpu",
        n_jobs: int | None = None,
        precision: str = "float32",
        callbacks: Any = None,
    ) -> None:
        self.hidden_layer_sizes = hidden_layer_sizes
        self.activation = activation
        self.solver = solver
        self.alpha = alpha
        self.batch_size = batch_size
        self.learning_rate = learning_rate
        self.learning_rate_init = learning_rate_init
        self.power_t = power_t
        self.max_iter = max_iter
        self.shuffle = shuffle
        self.random_state = random_state
        self.tol = tol
        self.verbose = verbose
        self.warm_start = warm_start
        self.momentum = momentum
        self.nesterovs_momentum = nesterovs_momentum
        self.early_stopping = early_stopping
        self.validation_fraction = validation_fraction
        self.beta_1 = beta_1
        self.beta_2 = beta_2
        self.epsilon = epsilon
        self.n_iter_no_change = n_iter_no_change
        self.max_fun = max_fun
        self.dropout = dropout
        self.normalization = normalization
        self.schedule = schedule
        self.device = device
        self.n_jobs = n_jobs
        self.precision = precision
        self.callbacks = callbacks

    @all_or_nothing
    def fit(self, X: Any, y: Any, sample_weight: Any = None) -> MLPRegressor:
        """Trains the network.

        Parameters
        ----------
        X : array-like or sparse matrix of shape (n_samples, n_features)
            The samples. A sparse matrix becomes a dense one of ``precision``.
        y : array-like of shape (n_samples,) or (n_samples, n_outputs)
            The values.
        sample_weight : array-like of shape (n_samples,), default=None
            Factors of the losses of samples.

        Returns
        -------
        self
        """
        return self._fit(X, y, sample_weight)

    @available_if(_can_partial_fit)
    @all_or_nothing
    def partial_fit(self, X: Any, y: Any, sample_weight: Any = None) -> MLPRegressor:
        """One pass over these samples; the optimizer goes on from the last call.

        Parameters
        ----------
        X, y, sample_weight :
            As of :meth:`fit`.

        Returns
        -------
        self
        """
        return self._fit(X, y, sample_weight, incremental=True)

    def _validate_targets(self, y: Any, *, incremental: bool) -> np.ndarray:
        if y.ndim == 2 and y.shape[1] == 1:
            y = column_or_1d(y, warn=True)
        y = np.asarray(y, dtype=np.float64)
        self._is_flat = y.ndim == 1
        targets = y.reshape(len(y), -1)
        if np.abs(targets).max(initial=0.0) > np.finfo(self.precision).max:
            raise ValueError(f"y has values that are too large for {self.precision}; scale it, or use precision='float64'")
        return targets

    def _output_activation(self) -> str:
        return "identity"

    def _unit_of_loss(self) -> float:
        # The network's loss is a sum over outputs.
        return 1.0 / self.n_outputs_

    def _score_outputs(self, outputs: np.ndarray, targets: np.ndarray, weights: np.ndarray | None) -> float:
        return float(r2_score(targets, outputs, sample_weight=weights))

    def predict(self, X: Any) -> np.ndarray:
        """The values.

        Parameters
        ----------
        X : array-like or sparse matrix of shape (n_samples, n_features)

        Returns
        -------
        ndarray of shape (n_samples,) or (n_samples, n_outputs)
        """
        outputs = self._outputs(X).astype(np.float64, copy=False)
        return outputs.ravel() if self.n_outputs_ == 1 else outputs

    def _model_info(self) -> dict[str, Any]:
        return {"loss": "quadratic", "classes": [], "target": None}

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.target_tags.multi_output = True
        return tags
