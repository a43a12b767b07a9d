"""The dynamic-repeat autoencoder, its trainer and its use on sequences."""

from padless.model.alignment import ALIGNMENTS
from padless.model.anomaly_fit import fit_anomaly_score
from padless.model.anomaly_score import AnomalyScore
from padless.model.architecture import Architecture
from padless.model.autoencoder import SequenceAutoencoder
from padless.model.calibration import Calibration, load_calibration
from padless.model.compare import Comparison, compare_alignments
from padless.model.compare_picture import draw_comparison
from padless.model.inference import Inference, write_parquet
from padless.model.layers import DynamicRepeat, ReplicaDropout, Standardize
from padless.model.options import TrainingOptions
from padless.model.picture import draw_report
from padless.model.recurrent import FusedLSTM, Recurrent
from padless.model.replicas import mirrored_strategy
from padless.model.report import RunReport, report_run
from padless.model.run_directory import load_model, read_options
from padless.model.stopping import TrainingStopped
from padless.model.summary import Summary, summarise
from padless.model.trainer import Trainer
from padless.model.training import TrainingReport, train

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
    "summarise",
    "train",
    "write_parquet",
]
