"""The record format, the dataset directory, the batch plan and the tf.data batches.

Names that need TensorFlow are imported when first used, so that planning and Beam workers start
without it.
"""

import importlib

from padless.pipeline.budget import Budget
from padless.pipeline.cost import BatchCost
from padless.pipeline.directory import SequenceDataset, Split, open_dataset, open_records
from padless.pipeline.order import EpochOrder, StepOrder, measure_order
from padless.pipeline.plan import BatchPlan, plan_batches, plan_frontier
from padless.pipeline.records import RecordFormat
from padless.pipeline.verify import verify_dataset
from padless.pipeline.verify_report import VerifyReport

_NEED_TENSORFLOW = {
    "Shuffle": "padless.pipeline.grouping",
    "equal_length_batches": "padless.pipeline.batches",
    "replica_batches": "padless.pipeline.batches",
}

__all__ = [
    "BatchCost",
    "BatchPlan",
    "Budget",
    "EpochOrder",
    "RecordFormat",
    "SequenceDataset",
    "Shuffle",
    "Split",
    "StepOrder",
    "VerifyReport",
    "equal_length_batches",
    "measure_order",
    "open_dataset",
    "open_records",
    "plan_batches",
    "plan_frontier",
    "replica_batches",
    "verify_dataset",
]


def __getattr__(name):
    if name not in _NEED_TENSORFLOW:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(_NEED_TENSORFLOW[name]), name)
