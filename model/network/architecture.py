"""What the autoencoder is built of: the options, checked where they enter.

This file imports neither TensorFlow nor Keras, as the command line reads defaults and choices here.
"""

from __future__ import annotations

import dataclasses

from padless.model.network.alignment import ALIGNMENTS, DYNAMIC_REPEAT, Alignment
from padless.pipeline.wording import list_names

CELLS = ("lstm", "gru")
# What a sequence's outputs become where one vector is wanted.
POOLINGS = ("last", "mean", "last_and_mean", "statistics")
# What a sequence is embedded as.
EMBEDDINGS = ("pooled", "code")
PRECISIONS = ("float32", "mixed_float16", "mixed_bfloat16")


@dataclasses.dataclass(frozen=True, slots=True)
class Architecture:
    """What the autoencoder is built of.

    The defaults are what helped on real data; docs/quality.md has the measurements.

    Attributes:
        latent_size: values that the decoder rebuilds the shape of a sequence from.
        embedding: what a sequence is embedded as: what the encoder's outputs are `"pooled"` to, or
            the `"code"`, which is smaller: the latent vector, and with `own_scale` the level.
        own_scale: whether each sequence is read on its own scale too, beside that of the training
            set and its amplitude, and reconstructed on it, see `padless.model.network.own_scale`.
        position: whether the decoder is told where in the sequence it is.
        patch_length: timesteps that a recurrent layer reads and gives at once, see
            `padless.model.network.patches`. A patch takes the time of a timestep. If None, `train`
            chooses it from the lengths; a model built without them takes 1.
        units: size of the state of each recurrent layer, in encoder and decoder.
        layers: recurrent layers in the encoder, and as many in the decoder.
        cell: `"lstm"` or `"gru"`.
        bidirectional: whether the encoder also reads each sequence from its end.
        pooling: what the encoder's outputs are pooled to, see `padless.model.network.pooling`: the
            `"last"` in reading order, their `"mean"`, `"last_and_mean"` or `"statistics"`.
        initial_state: whether the decoder's initial state is computed from the embedding instead of
            being zeros; it reads the repeated embedding either way.
        linear_head: whether a linear layer follows the decoder. Without it the decoder's last layer
            has as many units as there are features, and returns values between -1 and 1 only.
        dropout: share of the inputs of each recurrent layer dropped in training.
        masks_missing: whether values may be missing, which is NaN: the model is told which, and no
            error counts them. `train` sets it for a dataset that was made with `--missing mask`.
        alignment: how sequences of different lengths share a batch, one of `ALIGNMENTS`. The
            weights are the same for each.

    Raises:
        ValueError: if a size is below 1, the cell, the pooling or the alignment is unknown,
            `dropout` is not in [0, 1), or missing values are to be masked with an alignment whose
            loss counts more than the timesteps of a sequence.
    """

    latent_size: int = 64
    embedding: str = "pooled"
    own_scale: bool = True
    position: bool = True
    patch_length: int | None = None
    units: int = 64
    layers: int = 1
    cell: str = "lstm"
    bidirectional: bool = True
    pooling: str = "statistics"
    initial_state: bool = True
    linear_head: bool = True
    dropout: float = 0.0
    masks_missing: bool = False
    alignment: str = DYNAMIC_REPEAT

    def __post_init__(self) -> None:
        for name in ("latent_size", "patch_length", "units", "layers"):
            if (value := getattr(self, name)) is not None and value < 1:
                raise ValueError(f"`{name}` must be at least 1, got {value}.")
        choices = {
            "cell": CELLS,
            "embedding": EMBEDDINGS,
            "pooling": POOLINGS,
            "alignment": ALIGNMENTS,
        }
        for name, allowed in choices.items():
            if (value := getattr(self, name)) not in allowed:
                raise ValueError(
                    f"`{name}` must be one of {list_names(sorted(allowed))}, got {value!r}."
                )
        if not 0 <= self.dropout < 1:
            raise ValueError(f"`dropout` must be at least 0 and below 1, got {self.dropout}.")
        if self.masks_missing and not self.align().can_mask_missing:
            raise ValueError(
                f"the alignment {self.alignment!r} cannot mask missing values, as its loss counts "
                "more than the timesteps of a sequence."
            )

    @property
    def inputs_per_feature(self) -> int:
        """Values that the encoder reads of a feature at a timestep, see `Prepared`."""
        return 1 + 2 * self.own_scale + self.masks_missing

    def count_weights_at_least(self, num_features: int) -> int:
        """Counts as many weights as the model surely has, without building it.

        They are the largest arrays of its parts; the model has at most some hundred times as many.

        Args:
            num_features: values per timestep.
        """
        width = (self.patch_length or 1) * num_features
        recurrent = self.layers * self.units**2 + width * self.units
        latent = self.latent_size * self.units * (self.layers if self.initial_state else 1)
        last = 0 if self.linear_head else width**2
        return recurrent + latent + last + num_features**2

    def align(self) -> Alignment:
        """Looks up what the alignment does."""
        return ALIGNMENTS[self.alignment]
