"""Sequences of any lengths as vectors of one size."""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np
import sklearn
from sklearn.base import ClassNamePrefixFeaturesOutMixin, TransformerMixin

from padless.estimators.base import SequenceEstimator
from padless.estimators.tables import is_frame


@dataclasses.dataclass(eq=False, repr=False, kw_only=True)
class SequenceEncoder(ClassNamePrefixFeaturesOutMixin, TransformerMixin, SequenceEstimator):
    """Embeds sequences: `(timesteps, features)` of any length as a vector of one size.

    `X`, parameters and attributes are those of `SequenceEstimator`. The embeddings are those of
    `padless embed`, bit for bit; `latent_size` and `embedding="code"` make them small.

    Example:
        >>> import numpy as np
        >>> waves = [np.sin(np.arange(n) / 3)[:, None] for n in range(20, 60)]
        >>> encoder = SequenceEncoder(units=8, epochs=2).fit(waves)  # doctest: +SKIP
        >>> encoder.transform(waves).shape  # doctest: +SKIP
        (40, 112)
    """

    def transform(self, X: Any) -> np.ndarray:
        """Embeds sequences.

        Args:
            X: the sequences.

        Returns:
            One row per sequence, `(sequences, embedding_size)` float32; as a frame, where
            `set_output` asks for one, and named by the keys if `X` is a frame of pandas.

        Raises:
            NotFittedError: before `fit`.
            TypeError, ValueError: as `fit` does.
        """
        sequences = self._read(X)
        embeddings = self._trained.embed(sequences)
        if self._gives_pandas and type(X).__module__.startswith("pandas") and is_frame(X):
            # scikit-learn would name them by the rows of `X`, which are more.
            return type(X)(embeddings, index=[sequence.key.decode() for sequence in sequences])
        return embeddings

    @property
    def _gives_pandas(self) -> bool:
        """Whether `set_output` asks for frames of pandas."""
        own = getattr(self, "_sklearn_output_config", {})
        return own.get("transform", sklearn.get_config()["transform_output"]) == "pandas"

    @property
    def _n_features_out(self) -> int:
        return self._trained.run.model.embedding_size

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.transformer_tags.preserves_dtype = ["float32"]
        return tags
