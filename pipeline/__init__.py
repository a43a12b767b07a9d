"""The record format, the dataset directory, the batch plan and the tf.data batches.

Names that need TensorFlow are imported when first used, so that planning and Beam workers start
without it.
"""

from typing import TYPE_CHECKING

from padless.pipeline.batching.order import EpochOrder, StepOrder, measure_order
from padless.pipeline.dataset.directory import SequenceDataset, Split, open_dataset, open_records
from padless.pipeline.dataset.records import RecordFormat
from padless.pipeline.dataset.snapshot import DatasetChangedError
from padless.pipeline.diagnosis.findings import Finding
from padless.pipeline.diagnosis.report import Diagnosis
from padless.pipeline.diagnosis.tfrecords.diagnose import diagnose_records
from padless.pipeline.lazy_names import lazy_names
from padless.pipeline.planning.batch_sampler import BatchSampler
from padless.pipeline.planning.budget import Budget
from padless.pipeline.planning.describe import describe_plan, list_buckets
from padless.pipeline.planning.make_plan import plan_batches
from padless.pipeline.planning.plan import BatchPlan
from padless.pipeline.progress import Progress, ShowProgress
from padless.pipeline.tensorflow_start import start_tensorflow
from padless.pipeline.verification.report import VerifyReport
from padless.pipeline.verification.verify import verify_dataset

if TYPE_CHECKING:
    from padless.pipeline.batching.batches import equal_length_batches
    from padless.pipeline.batching.grouping import Shuffle
    from padless.pipeline.batching.packed_steps import packed_steps
    from padless.pipeline.batching.packing import PackedSequences
    from padless.pipeline.diagnosis.tf_dataset.diagnose import diagnose_dataset

# The same, as they are at run time.
_WITH_TENSORFLOW = {
    "PackedSequences": "padless.pipeline.batching.packing",
    "Shuffle": "padless.pipeline.batching.grouping",
    "diagnose_dataset": "padless.pipeline.diagnosis.tf_dataset.diagnose",
    "equal_length_batches": "padless.pipeline.batching.batches",
    "packed_steps": "padless.pipeline.batching.packed_steps",
}

__all__ = [
    "BatchPlan",
    "BatchSampler",
    "Budget",
    "DatasetChangedError",
    "Diagnosis",
    "EpochOrder",
    "Finding",
    "PackedSequences",
    "Progress",
    "RecordFormat",
    "SequenceDataset",
    "ShowProgress",
    "Shuffle",
    "Split",
    "StepOrder",
    "VerifyReport",
    "describe_plan",
    "diagnose_dataset",
    "diagnose_records",
    "equal_length_batches",
    "list_buckets",
    "measure_order",
    "open_dataset",
    "open_records",
    "packed_steps",
    "plan_batches",
    "verify_dataset",
]

if not TYPE_CHECKING:
    __getattr__, __dir__ = lazy_names(
        __name__, light={}, heavy=_WITH_TENSORFLOW, start=start_tensorflow
    )
