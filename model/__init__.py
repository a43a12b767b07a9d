"""The dynamic-repeat autoencoder, its trainer and its use on sequences."""

from padless.model.comparison.compare import Comparison, compare_alignments
from padless.model.comparison.compare_picture import draw_comparison
from padless.model.network.alignment import ALIGNMENTS
from padless.model.network.anomaly_score import AnomalyScore
from padless.model.network.architecture import Architecture
from padless.model.network.autoencoder import SequenceAutoencoder
from padless.model.network.layers import DynamicRepeat, ReplicaDropout, Standardize
from padless.model.network.recurrent import FusedLSTM, Recurrent
from padless.model.reporting.picture import draw_report
from padless.model.reporting.report import RunReport, report_run
from padless.model.reporting.summary import Summary, summarize
from padless.model.run_directory.layout import load_model, read_options
from padless.model.run_directory.training_options import TrainingOptions
from padless.model.scoring.anomaly_fit import fit_anomaly_score
from padless.model.scoring.calibration import Calibration, load_calibration
from padless.model.scoring.inference import Inference, write_parquet
from padless.model.training.replicas import mirrored_strategy
from padless.model.training.step import Trainer
from padless.model.training.stopping import TrainingStopped
from padless.model.training.train import TrainingReport, train

__all__ = [
    "ALIGNMENTS",
    "AnomalyScore",
    "Architecture",
    "Calibration",
    "Comparison",
    "DynamicRepeat",
    "FusedLSTM",
    "Inference",
    "Recurrent",
    "ReplicaDropout",
    "RunReport",
    "SequenceAutoencoder",
    "Standardize",
    "Summary",
    "Trainer",
    "TrainingOptions",
    "TrainingReport",
    "TrainingStopped",
    "compare_alignments",
    "draw_comparison",
    "draw_report",
    "fit_anomaly_score",
    "load_calibration",
    "load_model",
    "mirrored_strategy",
    "read_options",
    "report_run",
    "summarize",
    "train",
    "write_parquet",
]
