"""Variable-length sequences to embeddings and anomaly scores, without a single padded timestep.

`padless.beam_jobs` turns raw sequences into TFRecords, `padless.pipeline` plans and reads them as
packed steps, `padless.model` trains and scores, `padless.estimators` does all of it in
scikit-learn's conventions, `padless.cli` is the command line.
"""

__all__ = ["__version__"]

__version__ = "0.1.0"
