"""How the training of a network is watched: its histories, and when it ends."""

from __future__ import annotations

from typing import Any

import numpy as np


class Watch:
    """Keeps the histories of an estimator, and answers after each epoch how the training goes on."""

    def __init__(
        self,
        estimator: Any,
        samples: int,
        l2: float,
        validation: tuple[np.ndarray | None, np.ndarray | None],
        incremental: bool,
    ) -> None:
        self.estimator = estimator
        self.samples = samples
        self.l2 = l2
        self.validation = validation
        self.incremental = incremental
        self.rate = estimator.learning_rate_init
        self.ended_by_max_iter = False
        estimator.n_iter_ = 0

    def __call__(self, loss: float, squares: float, outputs: np.ndarray | None) -> str:
        estimator = self.estimator
        loss = estimator._unit_of_loss() * loss + 0.5 * self.l2 * squares
        estimator.n_iter_ += 1
        estimator.t_ += self.samples
        estimator.loss_ = loss
        estimator.loss_curve_.append(loss)
        if estimator.verbose:
            print(f"Iteration {estimator.n_iter_}, loss = {loss:.8f}")
        answer = "go on"
        if outputs is not None:
            answer = self._observe_score(outputs)
        else:
            self._observe_loss(loss)
        if self._asked_to_stop(loss):
            return "stop"
        if estimator._no_improvement_count > estimator.n_iter_no_change:
            if not self._lowers():
                return "stop"
            estimator._no_improvement_count = 0
            return "lower"
        self.ended_by_max_iter = estimator.n_iter_ == estimator.max_iter
        return answer

    def _observe_score(self, outputs: np.ndarray) -> str:
        estimator = self.estimator
        score = estimator._score_outputs(outputs, *self.validation) if np.isfinite(outputs).all() else np.nan
        estimator.validation_scores_.append(score)
        if estimator.verbose:
            print(f"Validation score: {score:.6f}")
        is_better = score >= estimator.best_validation_score_ + estimator.tol
        estimator._no_improvement_count = 0 if is_better else estimator._no_improvement_count + 1
        if score > estimator.best_validation_score_:
            estimator.best_validation_score_ = score
            return "keep"
        return "go on"

    def _observe_loss(self, loss: float) -> None:
        estimator = self.estimator
        is_better = loss <= estimator.best_loss_ - estimator.tol
        estimator._no_improvement_count = 0 if is_better else estimator._no_improvement_count + 1
        estimator.best_loss_ = min(loss, estimator.best_loss_)

    def _asked_to_stop(self, loss: float) -> bool:
        estimator = self.estimator
        scores = estimator.validation_scores_
        epoch = {"epoch": estimator.n_iter_, "loss": loss, "score": scores[-1] if scores else None}
        return any([callback(epoch) for callback in estimator.callbacks or []])

    def _lowers(self) -> bool:
        """Whether an adaptive rate becomes smaller; else the training has converged."""
        estimator = self.estimator
        what = "Validation score" if estimator.early_stopping else "Training loss"
        message = (
            f"{what} did not improve more than tol={estimator.tol:f} for {estimator.n_iter_no_change} consecutive "
            "epochs."
        )
        if estimator._schedule() != "adaptive" or self.rate <= 1e-6:
            if estimator.verbose:
                print(message + " Stopping.")
            return False
        self.rate /= 5.0
        if estimator.verbose:
            print(f"{message} Setting learning rate to {self.rate:f}")
        return True
