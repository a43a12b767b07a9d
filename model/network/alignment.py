"""How sequences of different lengths share a batch: five answers to one question, side by side.

The question is how to mask input and output in an LSTM autoencoder
(https://stackoverflow.com/questions/58144336); its answers are the four options, its own model is
the control:

| name | option | what it does |
|---|---|---|
| `dynamic_repeat` | 1 | groups of equal length; the repeat reads the length from its input |
| `masked_repeat` | 2 | masks again after the repeat; the target repeats its last step to the end |
| `cropped_output` | 3 | masks the encoder, and crops the output by the input's mask |
| `propagated_mask` | 4 | carries the encoder's mask past the repeat, to the decoder and the loss |
| `padded` | none | reads, reconstructs and counts padding: `RepeatVector` to the longest |

The first computes nothing but the sequences; the others pad a batch to its longest one, and the
last one all batches to the longest of all.

Two things are mended in all of them. A mask is made of the lengths, and not of the values that are
not 0, which takes a true zero for padding. A sequence's loss is a mean over its valid timesteps:
over the padded ones it would be smaller the shorter the sequence is. The control is left as it is.
"""

from __future__ import annotations

import dataclasses


@dataclasses.dataclass(frozen=True, slots=True)
class Alignment:
    """What one of the answers does.

    Attributes:
        pads: whether sequences that end early are padded to the longest of their batch.
        masks_encoder: whether the encoder gets a Keras mask.
        masks_decoder: whether the decoder does.
        counts_tail: whether the loss also counts the last step repeated to the end of the batch.
        counts_padding: whether padding is read, reconstructed and counted as if it were data.
    """

    pads: bool = True
    masks_encoder: bool = False
    masks_decoder: bool = False
    counts_tail: bool = False
    counts_padding: bool = False

    @property
    def can_mask_missing(self) -> bool:
        """Whether values may be missing: only if the loss counts the sequence's timesteps alone."""
        return not (self.counts_tail or self.counts_padding)


DYNAMIC_REPEAT = "dynamic_repeat"
ALIGNMENTS = {
    DYNAMIC_REPEAT: Alignment(pads=False),
    "masked_repeat": Alignment(masks_encoder=True, masks_decoder=True, counts_tail=True),
    "cropped_output": Alignment(masks_encoder=True),
    "propagated_mask": Alignment(masks_encoder=True, masks_decoder=True),
    "padded": Alignment(counts_padding=True),
}
"""The answers by name, each an `Alignment`."""
