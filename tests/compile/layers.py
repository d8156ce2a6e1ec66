"""Layers for the tests of `sepconv compile`: those of the golden cases, each with the answer that Keras gave, and what a user does with the
library: write a program in C, link it with nothing but what the manifest lists, and run it."""
import json
import os
import subprocess
from functools import cache
from pathlib import Path

import numpy as np

SOURCE = Path(os.environ["SOURCE"])
GOLDEN = SOURCE / "tests" / "golden"
SEPCONV = os.environ["SEPCONV"]
CC = os.environ.get("CC", "cc")
CXX = os.environ.get("CXX", "c++")

# The project's bound on the difference from Keras, relative to the largest value in the tensor. In half precision the result may then be
# rounded once.
TOLERANCE = 1e-5

# What a program needs where a test runs on another machine than this one.
ARM_COMPILER, ARM_RUNNER = ["aarch64-linux-gnu-gcc", "-std=c99", "-Wall", "-Werror"], ["qemu-aarch64", "-L", "/usr/aarch64-linux-gnu", "-cpu"]


@cache
def cases():
    return {case["id"]: case for case in json.loads((GOLDEN / "cases.json").read_text())}


@cache
def arrays(file):
    return dict(np.load(GOLDEN / file))


class Layer:
    """A golden case: its config, weights, an input, and Keras' output."""

    def __init__(self, case):
        self.case = cases()[case]
        found = arrays(self.case["file"])
        self.weights = {name: found[f"{case}/{name}"] for name in ("depthwise_kernel", "pointwise_kernel", "bias") if f"{case}/{name}" in found}
        self.input, self.expected = found[f"{case}/input"], found[f"{case}/output"]
        self.exact = found.get(f"{case}/exact")  # of a layer in half precision, before the last rounding
        self.config = self.case["config"]
        self.name = self.config["name"]

    def write(self, folder):
        """The files that the command reads."""
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "layer.json").write_text(json.dumps(self.config))
        np.savez(folder / "weights.npz", **self.weights)

    def options(self, folder, weights=None, shape=None):
        self.write(folder)
        shape = shape or ",".join(map(str, self.input.shape))
        return ["--config", folder / "layer.json", "--weights", weights or folder / "weights.npz", "--input-shape", shape]


def run(*command, **keywords):
    """Runs a command; one that fails is an error with all that it said."""
    done = subprocess.run([str(word) for word in command], capture_output=True, text=True, **keywords)
    if done.returncode != 0:
        raise AssertionError(f"{' '.join(map(str, command))} ended with {done.returncode}:\n{done.stdout}{done.stderr}")
    return done.stdout


def compile_layer(*options, output, cache=None):
    """Runs `sepconv compile` and returns the manifest of the one library that it made."""
    kept = ["--cache", cache] if cache else ["--no-cache"]
    run(SEPCONV, "compile", *options, "-o", output, *kept)
    (manifest,) = [file for file in Path(output).glob("*.json")]
    return json.loads(manifest.read_text())


PROGRAM = r"""
#include "{name}.h"
#include <stdio.h>
#include <stdlib.h>
{before}
static {number} *take(const char *file, size_t *count) {{
    FILE *stream = fopen(file, "rb");
    if (!stream) exit(90);
    fseek(stream, 0, SEEK_END);
    const long bytes = ftell(stream);
    rewind(stream);
    {number} *values = ({number} *)malloc(bytes + 1);
    if (!values || fread(values, 1, bytes, stream) != (size_t)bytes) exit(91);
    fclose(stream);
    *count = bytes / sizeof({number});
    return values;
}}

int main(int argc, char **argv) {{
    size_t count, expected = (size_t)strtoul(argv[3], NULL, 10);
    {number} *input = take(argv[1], &count), *output = ({number} *)malloc(expected * sizeof({number}) + 1);
    (void)argc;
    {body}
    if (code != 0) {{
        fprintf(stderr, "%d: %s\n", code, {name}_error(code));
        return code;
    }}
    FILE *stream = fopen(argv[2], "wb");
    if (!stream || fwrite(output, sizeof({number}), expected, stream) != expected || fclose(stream) != 0) return 92;
    return 0;
}}
"""


def source_text(manifest, body=None, before=""):
    """The program below."""
    name = manifest["name"]
    return PROGRAM.format(name=name, body=body or f"const int code = {name}(input, output);", before=before,
                          number={"float32": "float", "float16": "uint16_t"}[manifest["dtype"]])


def program(folder, name, body=None, before="", compiler=None, flags=(), libraries=None):
    """Builds a program in C that reads an input, calls the layer as `body` says, and writes the output."""
    folder = Path(folder)
    manifest = json.loads((folder / f"{name}.json").read_text())
    source, executable = folder / f"{name}_main.c", folder / f"{name}_main"
    source.write_text(source_text(manifest, body, before))
    libraries = manifest["link"] if libraries is None else libraries
    archive = manifest["files"][0]["name"]
    run(*(compiler or [CC, "-std=c99", "-Wall", "-Wextra", "-Werror", "-pedantic"]), *flags, source, folder / archive, "-I", folder, "-o",
        executable, *[f"-l{library}" for library in libraries])
    return executable


def compute(executable, tensor, shape, runner=(), more=()):
    """Runs such a program on an input."""
    folder = Path(executable).parent
    source, target = folder / "input.bin", folder / "output.bin"
    dtype = np.float16 if np.asarray(tensor).dtype == np.float16 else np.float32
    np.ascontiguousarray(tensor, dtype).tofile(source)
    target.unlink(missing_ok=True)
    run(*runner, executable, source, target, int(np.prod(shape)), *more)
    return np.fromfile(target, dtype).reshape(shape)


def difference(found, expected):
    """The largest difference in parts of the largest value; both are infinite or not a number at the same places."""
    found, expected = found.astype(np.float64), expected.astype(np.float64)
    finite = np.isfinite(expected)
    if not np.array_equal(finite, np.isfinite(found)) or not np.array_equal(found[~finite], expected[~finite], equal_nan=True):
        return np.inf
    if not finite.any():
        return 0.0
    return np.abs(found[finite] - expected[finite]).max() / (np.abs(expected[finite]).max() or 1)


def along_axes(kind, axes, x):
    """softmax, log_softmax, sparsemax or glu in float64, by their definitions, of finite values."""
    axes = tuple(axes)
    if kind == "glu":
        value, gate = np.split(x, 2, axis=axes[0])
        return value / (1 + np.exp(-gate))
    if kind == "sparsemax":
        ordered = -np.sort(-np.moveaxis(x, axes[0], -1), axis=-1)
        tau = (np.cumsum(ordered, axis=-1) - 1) / np.arange(1, ordered.shape[-1] + 1)
        tau = np.take_along_axis(tau, (ordered > tau).sum(axis=-1, keepdims=True) - 1, axis=-1)
        return np.maximum(x - np.moveaxis(tau, -1, axes[0]), 0)
    below = x - x.max(axis=axes, keepdims=True)
    total = np.exp(below).sum(axis=axes, keepdims=True)
    return np.exp(below) / total if kind == "softmax" else below - np.log(total)


def activation_of(kind, axes):
    """As a config has it."""
    return {"class_name": kind, "config": {"axis": axes if kind == "softmax" else axes[0]}}


def reference(config, weights, tensor):
    """The layer in float64, by its definition; its activation is linear or works along axes."""
    first = config["data_format"] == "channels_first"
    sums = product(config, weights, np.moveaxis(tensor, 1, 3) if first else tensor)
    sums = np.moveaxis(sums, 3, 1) if first else sums
    activation = config["activation"]
    if activation == "linear":
        return sums
    axes = activation["config"]["axis"]
    return along_axes(activation["class_name"], axes if isinstance(axes, list) else [axes], sums)


def rounding_variance(count, total, squares):
    """The variance of the rounding errors of a sum of float16 (tests/runtime/float16_closeness.h says why)."""
    unit, least = 2.0**-11, 2.0**-25
    partial = total**2 * (count + 1) * (2 * count + 1) / (6 * count**2) + squares * (count + 1) / (6 * count)
    return (unit**2 * (count * partial + squares) + 2 * count * least**2) / 3


def float16_error(config, weights, tensor):
    """By how much a product that is accumulated in float16 may be off: six standard deviations, as float16_closeness.h has it."""
    first = config["data_format"] == "channels_first"
    tensor = (np.moveaxis(tensor, 1, 3) if first else tensor).astype(np.float64)
    weights = {name: values.astype(np.float64) for name, values in weights.items()}
    squared = {name: values**2 for name, values in weights.items()}
    sums = depthwise(config, weights, tensor)
    of_depthwise = rounding_variance(np.prod(config["kernel_size"]), sums, depthwise(config, squared, tensor**2))
    pointwise = weights["pointwise_kernel"][0, 0]
    total, bias = sums @ pointwise, weights.get("bias", np.zeros(pointwise.shape[1]))
    variance = rounding_variance(pointwise.shape[0] + 1, total + bias, sums**2 @ pointwise**2 + bias**2) + of_depthwise @ pointwise**2
    error = 6 * np.sqrt(variance)
    return np.moveaxis(error, 3, 1) if first else error


def after_activation(activation, error, exact):
    """By how much a layer's values may be off for an error of its product. No elementwise activation that Keras has is steeper than 1.13, and
    what those along an axis read may all be off by the largest error."""
    name = activation if isinstance(activation, str) else activation["class_name"].lower()
    if name == "softmax":
        return 0.5 * error.max()  # the sum over j of |dy_i / dx_j| is 2 y_i (1 - y_i)
    if name == "glu":
        return (1 + np.abs(exact).max()) * error.max()  # y = x sigmoid(z): the slopes are sigmoid(z) and y (1 - sigmoid(z))
    return 1.13 * error


def not_rounded_from(found, exact, error=0.0):
    """How many values of float16 are no rounding of a value within the error of the exact one."""
    exact, slack = exact.astype(np.float64), TOLERANCE * (np.abs(exact).max() or 1)
    low, high = ((exact + sign * (error + slack)).astype(np.float32).astype(np.float16) for sign in (-1, 1))
    return int((~((found >= low) & (found <= high))).sum())


def product(config, weights, tensor):
    """The layer before its activation, channels last."""
    sums = depthwise(config, weights, tensor) @ weights["pointwise_kernel"][0, 0].astype(np.float64)
    return sums + weights["bias"] if "bias" in weights else sums


def depthwise(config, weights, tensor):
    """Its first stage."""
    (kh, kw), (sy, sx), (dy, dx) = config["kernel_size"], config["strides"], config["dilation_rate"]
    tensor = tensor.astype(np.float64)
    if config["padding"] == "same":
        pads = []
        for size, kernel, stride, dilation in zip(tensor.shape[1:3], (kh, kw), (sy, sx), (dy, dx)):
            total = max(0, (-(-size // stride) - 1) * stride + (kernel - 1) * dilation + 1 - size)
            pads.append((total // 2, total - total // 2))
        tensor = np.pad(tensor, [(0, 0), *pads, (0, 0)])
    rows, columns = (tensor.shape[1] - (kh - 1) * dy - 1) // sy + 1, (tensor.shape[2] - (kw - 1) * dx - 1) // sx + 1
    kernel = weights["depthwise_kernel"].astype(np.float64)
    multiplier = kernel.shape[3]
    total = np.zeros((tensor.shape[0], rows, columns, tensor.shape[3], multiplier))
    for i in range(kh):
        for j in range(kw):
            part = tensor[:, i * dy : i * dy + (rows - 1) * sy + 1 : sy, j * dx : j * dx + (columns - 1) * sx + 1 : sx]
            total += part[..., None] * kernel[i, j]
    return total.reshape(*total.shape[:3], -1)


def random_layer(seed, channels, filters, **arguments):
    """A config as Keras writes it, and weights."""
    config = {"name": "layer", "filters": filters, "kernel_size": [3, 3], "strides": [1, 1], "padding": "valid", "data_format": "channels_last",
              "dilation_rate": [1, 1], "depth_multiplier": 1, "activation": "linear", "use_bias": True, **arguments}
    random = np.random.default_rng(seed)
    inner = channels * config["depth_multiplier"]
    weights = {"depthwise_kernel": random.standard_normal((*config["kernel_size"], channels, config["depth_multiplier"]), np.float32),
               "pointwise_kernel": random.standard_normal((1, 1, inner, filters), np.float32)}
    if config["use_bias"]:
        weights["bias"] = random.standard_normal(filters, np.float32)
    return config, weights


def config_options(folder, config, weights=None):
    """Writes a config and its weights, and gives the options that name them."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "layer.json").write_text(json.dumps(config))
    if weights is None:
        return ["--config", folder / "layer.json", "--weights", "separate"]
    np.savez(folder / "weights.npz", **weights)
    return ["--config", folder / "layer.json", "--weights", folder / "weights.npz"]
