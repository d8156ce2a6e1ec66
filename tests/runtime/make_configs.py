"""Writes configs.json: what layer.get_config() of Keras 2 and Keras 3 really returns, for the arguments and activations in the table below.

Run it where tensorflow, keras 3 and tf_keras are installed:  python make_configs.py > configs.json
Each case holds only what differs from the same Keras' plain layer, beside the activation that it means: the kind, then a, b and c (null:
no limit), then the axes."""

import json
import os
import sys

os.environ["TF_CPP_MIN_LOG_LEVEL"] = "3"
os.environ["KERAS_HOME"] = "/nonexistent"

import keras
import tf_keras

# Names that mean the same in both, with their parameters.
SHARED = {
    "linear": [], "relu": [None, 0, 0], "relu6": [], "leaky_relu": [0.2], "elu": [1], "selu": [], "softplus": [], "softsign": [],
    "tanh": [], "sigmoid": [], "gelu": [], "exponential": [], "mish": [], "softmax": [], "log_softmax": [],
}
KERAS3_ONLY = {
    "celu": [1], "squareplus": [4], "soft_shrink": [0.5], "hard_shrink": [0.5], "hard_tanh": [], "tanh_shrink": [], "hard_sigmoid": [],
    "sparse_plus": [], "sparse_sigmoid": [], "silu": [], "hard_silu": [], "log_sigmoid": [], "sparsemax": [], "glu": [],
}

ARGUMENTS = [
    dict(kernel_size=(5, 1)), dict(kernel_size=2, strides=2), dict(strides=(2, 3), padding="SAME"), dict(dilation_rate=(3, 2)),
    dict(padding="same", data_format="channels_first"), dict(data_format="Channels_Last", depth_multiplier=3), dict(use_bias=False),
    dict(trainable=False, name="a.b"), dict(dtype="float32"), dict(dtype="float16"), dict(dtype="mixed_float16"), dict(dtype="mixed_bfloat16"),
    dict(dtype="bfloat16"), dict(dtype="float64"), dict(depthwise_initializer="he_normal", pointwise_initializer="orthogonal"),
    dict(bias_initializer="ones"), dict(depthwise_initializer=None), dict(depthwise_regularizer="l1", pointwise_regularizer="l2"),
    dict(activity_regularizer="l2", bias_regularizer="L1"), dict(depthwise_constraint="max_norm", pointwise_constraint="unit_norm"),
    dict(bias_constraint="non_neg"),
]


def activations(version, layers):
    """Pairs of what to pass to the layer and what it means."""
    yield None, ["linear"]
    for name, parameters in (SHARED if version == 2 else {**SHARED, **KERAS3_ONLY}).items():
        yield name, [name, *parameters]
    yield "swish", ["silu"]
    if version == 2:
        yield "hard_sigmoid", ["hard_sigmoid_keras2"]
        yield layers.ThresholdedReLU(0.75), ["threshold", 0.75, 0]
        yield layers.LeakyReLU(-0.5), ["leaky_relu", -0.5]
        yield layers.Softmax(robust_masking=True), ["softmax"]
    else:
        yield "hard_swish", ["hard_silu"]
        yield layers.Activation("tanh"), ["tanh"]
        yield layers.Activation(layers.LeakyReLU(0.1)), ["leaky_relu", 0.1]
        yield keras.ops.silu, ["silu"]
    yield layers.ReLU(), ["relu", None, 0, 0]
    yield layers.ReLU(6, 0.1, 0.5), ["relu", 6, 0.1, 0.5]
    yield layers.LeakyReLU(), ["leaky_relu", 0.3]
    yield layers.LeakyReLU(0.05), ["leaky_relu", 0.05]
    yield layers.ELU(), ["elu", 1]
    yield layers.ELU(0.7), ["elu", 0.7]
    yield layers.Softmax(), ["softmax"]
    yield layers.Softmax(axis=1), ["softmax", {"axes": [1]}]
    yield layers.Softmax(axis=[1, 2]), ["softmax", {"axes": [1, 2]}]


def cases(version, layers):
    def config(**arguments):
        return layers.SeparableConv2D(**{"filters": 4, "kernel_size": 3, "name": "s", **arguments}).get_config()

    plain = config()
    table = []
    for arguments in ARGUMENTS:
        table.append((str(arguments), config(**arguments), ["linear"]))
    for activation, meaning in activations(version, layers):
        shown = activation if activation is None or isinstance(activation, str) else type(activation).__name__
        table.append((f"activation {shown} {meaning}", config(activation=activation), meaning))
    for call, got, _ in table:
        assert got.keys() == plain.keys(), call
    return {
        "keras": version,
        "version": (keras if version == 3 else tf_keras).__version__,
        "plain": plain,
        "cases": [
            {"call": call, "differs": {k: v for k, v in got.items() if v != plain[k]}, "activation": meaning} for call, got, meaning in table
        ],
    }


def main():
    files = [cases(3, keras.layers), cases(2, tf_keras.layers)]
    lines = []
    for file in files:
        rows = ",\n".join("  " + json.dumps(case) for case in file.pop("cases"))
        lines.append(json.dumps(file)[:-1] + ', "cases": [\n' + rows + "]}")
    sys.stdout.write("[" + ",\n".join(lines) + "]\n")


if __name__ == "__main__":
    main()
