"""Serves the SavedModel of a run over HTTP, without padless: scores of sequences of many lengths.

    pip install fastapi uvicorn tensorflow
    python serve.py run/saved_model --port 8000
    curl localhost:8000/score --json '{"sequences": [[[0.1, 0.2], [0.3, 0.4]], [[0.5, 0.6]]]}'

The sequences of a request become one rectangle; the model is told their lengths, and what is after
an end counts nowhere.
"""

import argparse

import fastapi
import numpy as np
import pydantic
import tensorflow as tf
import uvicorn


class Request(pydantic.BaseModel):
    """Sequences in raw units: a list of timesteps each, of which each is a list of features."""

    sequences: list[list[list[float]]]


def make_app(directory):
    """Makes the server of a SavedModel."""
    model = tf.saved_model.load(directory).signatures["serve"]
    of_sequence = model.structured_input_signature[1]["sequence"]
    num_features, dtype = of_sequence.shape[2], of_sequence.dtype.as_numpy_dtype
    app = fastapi.FastAPI()

    @app.post("/score")
    def score(request: Request):
        widths = {len(timestep) for sequence in request.sequences for timestep in sequence}
        lengths = np.array([len(sequence) for sequence in request.sequences])
        if widths != {num_features} or lengths.min() < 1:
            rule = f"There must be sequences, of timesteps of {num_features} features."
            raise fastapi.HTTPException(422, rule)
        padded = np.zeros((len(lengths), lengths.max(), num_features), dtype)
        for row, sequence in zip(padded, request.sequences, strict=True):
            row[: len(sequence)] = sequence
        found = model(sequence=tf.constant(padded), length=tf.constant(lengths, tf.int64))
        return {name: found[name].numpy().tolist() for name in ("score", "p_value", "error")}

    return app


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("directory", help="saved_model/ of a run directory")
    parser.add_argument("--port", type=int, default=8000)
    args = parser.parse_args()
    uvicorn.run(make_app(args.directory), port=args.port)


if __name__ == "__main__":
    main()
