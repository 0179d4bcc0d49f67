"""Model files: those of the command line, of Rust and of the estimators."""

from __future__ import annotations

import os
from typing import Any

import numpy as np

from . import _travertine
from ._columns import Column, check_distinct, is_frame, names_of, values_of
from ._common import check_answers, threads_of
from ._words import in_python


class Model:
    """A trained model with all that its predictions need: how raw rows become numbers, and what the network's outputs mean.

    A model comes from a file (:meth:`load`) that ``travertine train``, Rust or :meth:`MLPClassifier.save` has written.

    Attributes
    ----------
    columns : list of (name, kind)
        What a row consists of; the kind is 'number', 'date' or 'texts'.
    classes : list of str
        The classes in the order of the probabilities; empty for a model of values.
    task : {'classes', 'values'}
    value_names : list of str
        The names of the predicted values; empty for a model of classes.
    parameters, networks : int
        How many there are; more than one network is an ensemble, whose mean is the answer.
    training : dict
        How it was trained.

    Examples
    --------
    >>> import tempfile, os
    >>> from sklearn.datasets import load_iris
    >>> from travertine import MLPClassifier, Model
    >>> X, y = load_iris(return_X_y=True)
    >>> path = os.path.join(tempfile.mkdtemp(), "iris.safetensors")
    >>> MLPClassifier(max_iter=300, random_state=1, tol=0).fit(X, y).save(path)  # doctest: +ELLIPSIS
    >>> model = Model.load(path)
    >>> model.predict(X[:2])
    array(['0', '0'], dtype='<U1')
    """

    _model: _travertine.Model
    _place: tuple[str, int | None]

    def __init__(self) -> None:
        raise TypeError("a model comes from Model.load, or from to_model of an estimator")

    @classmethod
    def _of(cls, model: Any, device: str, threads: int | None) -> Model:
        self = object.__new__(cls)
        self._model = model
        self._place = (device, threads)
        return self

    @classmethod
    def _from_bytes(cls, bytes_: bytes, precision: str, device: str, threads: int | None) -> Model:
        return cls._of(_travertine.Model.from_bytes(bytes_, precision, device, threads), device, threads)

    @classmethod
    def load(cls, path: str | os.PathLike[str], device: str = "cpu", n_jobs: int | None = None) -> Model:
        """Reads a model file, or an ONNX file: one of this library, or a network of PyTorch, Keras or scikit-learn.

        Parameters
        ----------
        path : str or path-like
            The file; an ONNX file by its ending .onnx.
        device : str, default='cpu'
            Where it computes; see :func:`travertine.devices`.
        n_jobs : int or None, default=None
            Threads of the CPU; None and -1 are all cores.

        Returns
        -------
        Model
        """
        threads = threads_of(n_jobs)
        return cls._of(_travertine.Model.load(os.fspath(path), device, threads), device, threads)

    def save(self, path: str | os.PathLike[str]) -> None:
        """Writes the model file; the path holds the old or the new model at any moment.

        Parameters
        ----------
        path : str or path-like
            The file.
        """
        self._model.save(os.fspath(path))

    def to_onnx(self, path: str | os.PathLike[str], opset: int = 17, numbers_only: bool = False) -> None:
        """Writes the model as an ONNX file, which ONNX Runtime computes from the raw columns.

        Each column is an input of its own: doubles for numbers and for dates (seconds since 1970-01-01), strings for texts.

        Parameters
        ----------
        path : str or path-like
            The file.
        opset : int, default=17
            The version of ONNX's operators, 13 to 23.
        numbers_only : bool, default=False
            Whether one input of numbers that are encoded and standardized already takes the place of the columns, and ``class``,
            a number from 0, that of ``label``.
        """
        self._model.to_onnx(os.fspath(path), opset, numbers_only)

    @property
    def columns(self) -> list[tuple[str, str]]:
        return list(self._model.columns)

    @property
    def classes(self) -> list[str]:
        return list(self._model.classes)

    @property
    def task(self) -> str:
        return str(self._model.task)

    @property
    def value_names(self) -> list[str]:
        return list(self._model.value_names)

    @property
    def parameters(self) -> int:
        return int(self._model.parameters)

    @property
    def networks(self) -> int:
        return int(self._model.networks)

    @property
    def training(self) -> dict[str, str]:
        return dict(self._model.training)

    def predict(self, X: Any) -> np.ndarray:
        """The classes, or the values.

        Parameters
        ----------
        X : data frame, or array-like of shape (n_samples, n_columns)
            Rows as the table of the training had them: columns of a frame are found by their names, and others than the
            model's are not looked at.

        Returns
        -------
        ndarray of shape (n_samples,), or (n_samples, n_values) for several values
        """
        labels, numbers = self._answer(X)
        if self.classes:
            return np.array(labels)
        return numbers[:, 0] if numbers.shape[1] == 1 else numbers

    def predict_proba(self, X: Any) -> np.ndarray:
        """The probabilities of the classes.

        Parameters
        ----------
        X : data frame, or array-like of shape (n_samples, n_columns)
            As of :meth:`predict`.

        Returns
        -------
        ndarray of shape (n_samples, n_classes)
        """
        if not self._model.gives_probabilities:
            raise AttributeError("this model does not give probabilities of classes")
        return self._answer(X)[1]

    def _answer(self, X: Any) -> tuple[list[str], np.ndarray]:
        columns = self._columns_of(X) if is_frame(X) else self._array_of(X)
        return self._answers_for(columns, len(X))

    def _answers_for(self, columns: Any, rows: int) -> tuple[list[str], np.ndarray]:
        try:
            labels, numbers = self._model.answer(columns)
        except ValueError as error:
            raise ValueError(in_python(str(error))) from None
        check_answers(numbers, rows)
        return labels, numbers

    def _array_of(self, X: Any) -> np.ndarray:
        if any(kind != "number" for _, kind in self.columns):
            raise TypeError("this model has columns of texts or dates; give a data frame with its columns' names")
        X = np.asarray(X)
        if X.dtype.kind in "cmM":
            raise ValueError(f"X has values of {X.dtype}, and the model takes numbers")
        X = np.require(X, dtype=np.float64, requirements=["C", "A"])
        if X.ndim != 2:
            raise ValueError(f"Expected 2D array, got {X.ndim}D array instead; reshape one row with X.reshape(1, -1)")
        if X.shape[1] != len(self.columns):
            raise ValueError(f"X has {X.shape[1]} features, but the model is expecting {len(self.columns)} features")
        return X

    def _columns_of(self, frame: Any) -> list[Column]:
        names = names_of(frame)
        missing = [name for name, _ in self.columns if name not in names]
        if missing:
            raise ValueError(f"the columns {missing} of the model are missing; the frame has {names}")
        check_distinct(names, [name for name, _ in self.columns])
        places = [(name, kind, frame.columns[names.index(name)]) for name, kind in self.columns]
        return [values_of(kind, name, frame[place]) for name, kind, place in places]

    def __reduce__(self) -> Any:
        return Model._from_bytes, (bytes(self._model.to_bytes()), self._model.precision, *self._place)

    def __repr__(self) -> str:
        what = f"{len(self.classes)} classes" if self.classes else f"values of {', '.join(self.value_names)}"
        return f"<travertine.Model: {len(self.columns)} columns, {what}, {self.parameters} parameters>"
