"""Estimators in scikit-learn's conventions: sequences of any lengths in, embeddings or labels out.

They need scikit-learn, which the extra `sklearn` installs. TensorFlow and Beam are imported when an
estimator is fitted or used.
"""

try:
    import sklearn  # noqa: F401
except ModuleNotFoundError as error:
    raise ImportError(
        "padless.estimators needs scikit-learn: pip install 'padless[sklearn]'."
    ) from error

from padless.estimators.base import SequenceEstimator
from padless.estimators.detector import SequenceAnomalyDetector
from padless.estimators.encoder import SequenceEncoder

__all__ = ["SequenceAnomalyDetector", "SequenceEncoder", "SequenceEstimator"]
