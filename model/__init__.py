"""The dynamic-repeat autoencoder, its training and its use on sequences.

Names are imported when first used, so that the options can be read without TensorFlow, which is
started without its notes when a name first needs it.
"""

from typing import TYPE_CHECKING

from padless.pipeline.lazy_names import lazy_names
from padless.pipeline.tensorflow_start import start_tensorflow

if TYPE_CHECKING:
    from padless.model.comparison.compare import Comparison, compare_alignments
    from padless.model.comparison.compare_picture import draw_comparison
    from padless.model.html_report.write import write_html
    from padless.model.kernels.fused_lstm import FusedLSTM
    from padless.model.network.alignment import ALIGNMENTS
    from padless.model.network.anomaly_score import AnomalyScore
    from padless.model.network.architecture import Architecture
    from padless.model.network.autoencoder import SequenceAutoencoder
    from padless.model.network.layers import DynamicRepeat, ReplicaDropout, Standardize
    from padless.model.network.ragged import RaggedGRU, RaggedLSTM
    from padless.model.network.recurrent import Recurrent
    from padless.model.onnx_export.export import export_onnx
    from padless.model.reporting.picture import draw_report
    from padless.model.reporting.report import RunReport, report_run
    from padless.model.reporting.summary import Summary, summarize
    from padless.model.run_directory.training_options import TrainingOptions
    from padless.model.scoring.anomaly_fit import fit_anomaly_score
    from padless.model.scoring.calibration import Calibration
    from padless.model.scoring.inference import Inference
    from padless.model.scoring.run import Run, load_model, open_run
    from padless.model.scoring.shard_scorer import ShardScorer
    from padless.model.training.replicas import mirrored_strategy
    from padless.model.training.step import Trainer
    from padless.model.training.stopping import TrainingStopped
    from padless.model.training.train import train
    from padless.model.training.training_report import TrainingReport

# The same, as they are at run time.
_WITHOUT_TENSORFLOW = {
    "ALIGNMENTS": "padless.model.network.alignment",
    "Architecture": "padless.model.network.architecture",
    "ShardScorer": "padless.model.scoring.shard_scorer",
    "TrainingOptions": "padless.model.run_directory.training_options",
}
_WITH_TENSORFLOW = {
    "AnomalyScore": "padless.model.network.anomaly_score",
    "Calibration": "padless.model.scoring.calibration",
    "Comparison": "padless.model.comparison.compare",
    "DynamicRepeat": "padless.model.network.layers",
    "FusedLSTM": "padless.model.kernels.fused_lstm",
    "Inference": "padless.model.scoring.inference",
    "RaggedGRU": "padless.model.network.ragged",
    "RaggedLSTM": "padless.model.network.ragged",
    "Recurrent": "padless.model.network.recurrent",
    "ReplicaDropout": "padless.model.network.layers",
    "Run": "padless.model.scoring.run",
    "RunReport": "padless.model.reporting.report",
    "SequenceAutoencoder": "padless.model.network.autoencoder",
    "Standardize": "padless.model.network.layers",
    "Summary": "padless.model.reporting.summary",
    "Trainer": "padless.model.training.step",
    "TrainingReport": "padless.model.training.training_report",
    "TrainingStopped": "padless.model.training.stopping",
    "compare_alignments": "padless.model.comparison.compare",
    "draw_comparison": "padless.model.comparison.compare_picture",
    "draw_report": "padless.model.reporting.picture",
    "export_onnx": "padless.model.onnx_export.export",
    "fit_anomaly_score": "padless.model.scoring.anomaly_fit",
    "load_model": "padless.model.scoring.run",
    "mirrored_strategy": "padless.model.training.replicas",
    "open_run": "padless.model.scoring.run",
    "report_run": "padless.model.reporting.report",
    "summarize": "padless.model.reporting.summary",
    "train": "padless.model.training.train",
    "write_html": "padless.model.html_report.write",
}

__all__ = [
    "ALIGNMENTS",
    "AnomalyScore",
    "Architecture",
    "Calibration",
    "Comparison",
    "DynamicRepeat",
    "FusedLSTM",
    "Inference",
    "RaggedGRU",
    "RaggedLSTM",
    "Recurrent",
    "ReplicaDropout",
    "Run",
    "RunReport",
    "SequenceAutoencoder",
    "ShardScorer",
    "Standardize",
    "Summary",
    "Trainer",
    "TrainingOptions",
    "TrainingReport",
    "TrainingStopped",
    "compare_alignments",
    "draw_comparison",
    "draw_report",
    "export_onnx",
    "fit_anomaly_score",
    "load_model",
    "mirrored_strategy",
    "open_run",
    "report_run",
    "summarize",
    "train",
    "write_html",
]

if not TYPE_CHECKING:
    __getattr__, __dir__ = lazy_names(
        __name__, light=_WITHOUT_TENSORFLOW, heavy=_WITH_TENSORFLOW, start=start_tensorflow
    )
