"""What both estimators share: parameters, the fit, what a fitted one computes, and its file."""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np
from sklearn.base import BaseEstimator
from sklearn.utils import check_random_state
from sklearn.utils.validation import check_is_fitted

from padless.beam_jobs import Rules
from padless.estimators.sequences import assemble_all, read_input
from padless.model import Architecture, TrainingOptions
from padless.pipeline.wording import list_names

if TYPE_CHECKING:
    from padless.beam_jobs.fragments import Sequence as Accepted
    from padless.estimators.fitting import Recipe
    from padless.estimators.trained import TrainedModel

_MODEL, _TRAINING, _RULES = Architecture(), TrainingOptions(), Rules()
# A piece of a sequence would have no row in `X`.
_TOO_LONG = ("reject", "truncate")

_Estimator = TypeVar("_Estimator", bound="SequenceEstimator")


@dataclasses.dataclass(eq=False, repr=False, kw_only=True)
class SequenceEstimator(BaseEstimator):
    """A sequence autoencoder as an estimator of scikit-learn: what all of them share.

    `X` is a list, a tuple or an array of objects with an array `(timesteps, features)` for each
    sequence; or an array `(sequences, timesteps, features)`; or a `tf.RaggedTensor` `(sequences,
    None, features)`; or one of these without the last dimension, for sequences of one feature; or a
    data frame of pandas, polars or Arrow with a row per timestep. Results are in the order of `X`;
    those of a frame in the order in which its keys first appear.

    The parameters that are not described here are those of `padless.model.Architecture` and
    `padless.model.TrainingOptions`, with their defaults. `fit` checks them all.

    Args:
        key: column of a data frame that says which sequence a row belongs to.
        time: column of a data frame that orders the timesteps of a sequence, or None for the order
            of the rows.
        features: columns of a data frame that are the features; None for all others with numbers.
        missing: what becomes of NaN, see `padless.beam_jobs.Rules`: `"reject"`, `"forward_fill"`,
            `"drop_timestep"` or `"mask"`.
        min_length: minimum number of timesteps.
        max_length: maximum number of timesteps, or None.
        too_long: whether to `"reject"` or to `"truncate"` a longer sequence.
        validation_fraction: share of the sequences that is not trained on: its loss decides which
            epoch is kept, and its scores are what p-values compare with. 0 for none.
        random_state: seed of the weights, of the order, and of the draw of the validation split; as
            everywhere in scikit-learn, a generator or None for another one in each fit.
        directory: folder in which to keep dataset, checkpoints and run; a fit that was interrupted
            resumes there. None for one that is removed when the fit has ended.
        verbose: 1 shows a line per epoch on standard error.

    Attributes:
        n_features_in_: number of features per timestep.
        feature_names_in_: their names, where `X` was a data frame; an array of strings.
    """

    key: str = "key"
    time: str | None = "time"
    features: Sequence[str] | None = None
    missing: str = _RULES.missing
    min_length: int = _RULES.min_length
    max_length: int | None = _RULES.max_length
    too_long: str = _RULES.too_long

    latent_size: int = _MODEL.latent_size
    embedding: str = _MODEL.embedding
    own_scale: bool = _MODEL.own_scale
    position: bool = _MODEL.position
    patch_length: int | None = _MODEL.patch_length
    units: int = _MODEL.units
    layers: int = _MODEL.layers
    cell: str = _MODEL.cell
    bidirectional: bool = _MODEL.bidirectional
    pooling: str = _MODEL.pooling
    initial_state: bool = _MODEL.initial_state
    linear_head: bool = _MODEL.linear_head
    dropout: float = _MODEL.dropout
    alignment: str = _MODEL.alignment

    epochs: int | None = _TRAINING.epochs
    batch_size: int | None = _TRAINING.batch_size
    batch_timesteps: int | None = _TRAINING.batch_timesteps
    group_size: int | None = _TRAINING.group_size
    replicas: int | None = _TRAINING.replicas
    learning_rate: float = _TRAINING.learning_rate
    schedule: str = _TRAINING.schedule
    clip_norm: float | None = _TRAINING.clip_norm
    weighting: str = _TRAINING.weighting
    precision: str = _TRAINING.precision
    patience: int | None = _TRAINING.patience
    checkpoint_steps: int | None = _TRAINING.checkpoint_steps
    checkpoint_minutes: float | None = _TRAINING.checkpoint_minutes

    validation_fraction: float = 0.2
    random_state: int | np.random.RandomState | None = _TRAINING.seed
    directory: str | os.PathLike[str] | None = None
    verbose: int = 0

    def fit(self: _Estimator, X: Any, y: object = None) -> _Estimator:
        """Trains on sequences.

        Args:
            X: the sequences.
            y: not used.

        Raises:
            TypeError: if `X` holds something else than numbers.
            ValueError: if `X` is not what it must be, or a parameter is out of its range; if
                `directory` holds another fit.
        """
        from padless.estimators.fitting import logged, train_model

        given = read_input(X, key=self.key, time=self.time, features=self.features)
        recipe = self._make_recipe(given.time_order)
        sequences = assemble_all(given, recipe.rules)
        self._check_splits(recipe.count_splits(sequence.key for sequence in sequences))
        with logged(self.verbose):
            self._trained: TrainedModel = train_model(given, recipe)
        self._describe_features(sequences[0].values.shape[1], given.feature_names)
        self._learn(sequences)
        return self

    def save(self, path: str | os.PathLike[str]) -> None:
        """Writes the fitted estimator into a file, whole or not at all.

        It is a zip archive of JSON and of the model's own files, and nothing in it is pickled, so
        that `load` is safe on files of others. The parameter `directory` is left out, and for
        `random_state` the seed is written that was used.
        """
        from padless.estimators.archive import Saved, write_archive

        check_is_fitted(self)
        changed = {"directory": None, "random_state": self._trained.run.options.seed}
        parameters = self.get_params(deep=False) | changed
        saved = Saved(parameters, self._learned(), self._trained.files)
        write_archive(path, type(self).__name__, saved)

    @classmethod
    def load(cls: type[_Estimator], path: str | os.PathLike[str]) -> _Estimator:
        """Reads a fitted estimator that `save` has written.

        Raises:
            FileNotFoundError: if there is no such file.
            ValueError: if it is damaged, was edited, or holds an estimator of another class.
        """
        from padless.estimators.archive import naming_damage, read_archive
        from padless.estimators.trained import TrainedModel

        saved = read_archive(path, cls.__name__)
        with naming_damage(path):
            estimator = cls(**saved.parameters)
            estimator._trained = TrainedModel(saved.files)
            config = estimator._trained.run.config
            estimator._describe_features(config.num_features, config.feature_names)
            estimator._set_learned(saved.learned)
        return estimator

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.input_tags.three_d_array = True
        tags.input_tags.allow_nan = self.missing != _RULES.missing
        return tags

    def _read(self, X: Any) -> list[Accepted]:
        """Reads sequences for the fitted model, by the rules of the fit."""
        check_is_fitted(self)
        names = getattr(self, "feature_names_in_", None)
        features = self.features if names is None else names.tolist()
        given = read_input(X, key=self.key, time=self.time, features=features)
        trained_by = dataclasses.asdict(self._trained.run.config.rules or Rules())
        rules = Rules(**trained_by | {"time_order": given.time_order})
        sequences = assemble_all(given, rules)
        if (width := sequences[0].values.shape[1]) != self.n_features_in_:
            raise ValueError(
                f"`X` must have {self.n_features_in_} features per timestep, as many as "
                f"{type(self).__name__} was fitted to, got {width}."
            )
        return sequences

    def _make_recipe(self, time_order: str) -> Recipe:
        from padless.estimators.fitting import Recipe

        if self.too_long not in _TOO_LONG:
            raise ValueError(
                f"`too_long` must be one of {list_names(_TOO_LONG)}, got {self.too_long!r}."
            )
        parameters = {
            name: value.item() if isinstance(value, np.generic) else value
            for name, value in self.get_params(deep=False).items()
        }
        seed, generator = parameters["random_state"], check_random_state(self.random_state)
        if not isinstance(seed, int):
            seed = int(generator.randint(2**31))
        return Recipe(
            Rules(**_of(Rules, parameters), time_order=time_order),
            Architecture(**_of(Architecture, parameters)),
            TrainingOptions(**_of(TrainingOptions, parameters), seed=seed),
            parameters["validation_fraction"],
            None if self.directory is None else os.fspath(self.directory),
        )

    def _check_splits(self, counts: Mapping[str, int]) -> None:
        """Checks how many sequences are drawn for each split, before any work is done."""
        if not counts["train"]:
            raise ValueError(
                f"`validation_fraction` = {self.validation_fraction} leaves no sequence to train "
                f"on, as the splits are drawn and there are few: n_samples = "
                f"{sum(counts.values())}. Give more, or set it to 0."
            )

    def _describe_features(self, count: int, names: Sequence[str] | None) -> None:
        self.n_features_in_ = count
        self.__dict__.pop("feature_names_in_", None)
        if names is not None:
            self.feature_names_in_ = np.array(names, object)

    def _learn(self, sequences: Sequence[Accepted]) -> None:
        """Learns from the sequences of the fit what the model does not hold."""

    def _learned(self) -> dict[str, float]:
        """Returns what `_learn` has learned, as a file holds it."""
        return {}

    def _set_learned(self, learned: Mapping[str, float]) -> None:
        """Restores what `_learned` has returned."""


def _of(kind: type, parameters: Mapping[str, Any]) -> dict[str, Any]:
    """Picks the parameters that are fields of a dataclass."""
    names = {field.name for field in dataclasses.fields(kind)}
    return {name: value for name, value in parameters.items() if name in names}
