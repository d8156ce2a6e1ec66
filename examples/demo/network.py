"""A Keras 2 functional model in plain NumPy, but for its separable convolutions, which the caller computes.

It knows the layers of the demo's emotion model (mini-XCEPTION) and reads the same HDF5 file: the graph from the attribute
model_config, the weights by each group's weight_names.
"""

import json

import h5py
import numpy as np
from numpy.lib.stride_tricks import sliding_window_view


class Network:
    def __init__(self, path):
        with h5py.File(path, "r") as file:
            config = json.loads(file.attrs["model_config"])["config"]
            self.layers = config["layers"]
            self.output = config["output_layers"][0][0]
            stored = file["model_weights"]
            self.weights = {layer["name"]: layer_weights(stored[layer["name"]]) for layer in self.layers}

    def separable_layers(self):
        """The names of the separable convolutions, in the model's order."""
        return [layer["name"] for layer in self.layers if layer["class_name"] == "SeparableConv2D"]

    def run(self, image, separable):
        """The model's output for one image (1, H, W, C). `separable(name, x)` computes the separable convolution of that name."""
        values = {}
        for layer in self.layers:
            name, kind, config = layer["name"], layer["class_name"], layer["config"]
            inputs = [values[source[0]] for node in layer["inbound_nodes"] for source in node]
            if kind == "InputLayer":
                values[name] = image
            elif kind == "SeparableConv2D":
                values[name] = separable(name, inputs[0])
            elif kind in LAYERS:
                values[name] = LAYERS[kind](config, self.weights[name], *inputs)
            else:
                raise ValueError(f"{name}: expected one of {', '.join(sorted(LAYERS))}, found {kind}")
        return values[self.output]


def layer_weights(group):
    """A layer's arrays by their own names ("kernel", "gamma")."""
    names = [name.decode() if isinstance(name, bytes) else name for name in group.attrs["weight_names"]]
    return {name.split("/")[-1].split(":")[0]: np.asarray(group[name], np.float32) for name in names}


def padded(x, window, strides, padding, value):
    """The image with the borders that Keras' `padding` gives it."""
    if padding == "valid":
        return x
    borders = []
    for extent, kernel, stride in zip(x.shape[1:3], window, strides):
        total = max(0, (-(-extent // stride) - 1) * stride + kernel - extent)
        borders.append((total // 2, total - total // 2))
    return np.pad(x, ((0, 0), *borders, (0, 0)), constant_values=value)


def windows(x, window, strides, padding, value):
    """(n, y, x, c, i, j): what lies under each position of the window."""
    view = sliding_window_view(padded(x, window, strides, padding, value), window, axis=(1, 2))
    return view[:, :: strides[0], :: strides[1]]


def conv2d(config, weights, x):
    under = windows(x, config["kernel_size"], config["strides"], config["padding"], 0)
    y = np.tensordot(under, weights["kernel"], axes=([3, 4, 5], [2, 0, 1]))
    if config["use_bias"]:
        y = y + weights["bias"]
    return activated(config, y)


def batch_normalization(config, weights, x):
    scale = weights["gamma"] / np.sqrt(weights["moving_variance"] + np.float32(config["epsilon"]))
    return x * scale + (weights["beta"] - weights["moving_mean"] * scale)


def max_pooling(config, _, x):
    return windows(x, config["pool_size"], config["strides"], config["padding"], -np.inf).max(axis=(4, 5))


def activated(config, x):
    name = config["activation"]
    if name == "linear":
        return x
    if name == "relu":
        return np.maximum(x, 0)
    if name == "softmax":
        e = np.exp(x - x.max(axis=-1, keepdims=True))
        return e / e.sum(axis=-1, keepdims=True)
    raise ValueError(f"{config['name']}: expected activation linear, relu or softmax, found {name}")


LAYERS = {
    "Conv2D": conv2d,
    "BatchNormalization": batch_normalization,
    "Activation": lambda config, _, x: activated(config, x),
    "MaxPooling2D": max_pooling,
    "Add": lambda config, _, *inputs: sum(inputs[1:], inputs[0]),
    "GlobalAveragePooling2D": lambda config, _, x: x.mean(axis=(1, 2)),
}
