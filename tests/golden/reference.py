"""The layer as a plain float64 sum in NumPy: what every answer of TensorFlow is checked against before it is kept."""

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view


def fit_window(extent, kernel, stride, dilation, padding):
    """Rows of output, and rows of zeros before and after the input, for one dimension."""
    span = (kernel - 1) * dilation + 1
    if padding == "valid":
        return (extent - span) // stride + 1, 0, 0
    output = -(-extent // stride)
    total = max(0, (output - 1) * stride + span - extent)
    return output, total // 2, total - total // 2


def separable_conv2d(image, depthwise_kernel, pointwise_kernel, bias, strides, dilation, padding, data_format):
    """The layer before its activation, in the order of data_format."""
    image, depthwise_kernel, pointwise_kernel = (np.asarray(t, np.float64) for t in (image, depthwise_kernel, pointwise_kernel))
    if data_format == "channels_first":
        image = image.transpose(0, 2, 3, 1)
    rows, cols, channels, multiplier = depthwise_kernel.shape
    out_rows, above, below = fit_window(image.shape[1], rows, strides[0], dilation[0], padding)
    out_cols, left, right = fit_window(image.shape[2], cols, strides[1], dilation[1], padding)
    padded = np.pad(image, ((0, 0), (above, below), (left, right), (0, 0)))
    windows = sliding_window_view(padded, ((rows - 1) * dilation[0] + 1, (cols - 1) * dilation[1] + 1), axis=(1, 2))
    windows = windows[:, :: strides[0], :: strides[1], :, :: dilation[0], :: dilation[1]][:, :out_rows, :out_cols]
    depthwise = np.einsum("nyxcij,ijcm->nyxcm", windows, depthwise_kernel)
    depthwise = depthwise.reshape(*depthwise.shape[:3], channels * multiplier)
    output = np.einsum("nyxq,qf->nyxf", depthwise, pointwise_kernel[0, 0])
    if bias is not None:
        output = output + np.asarray(bias, np.float64)
    return output.transpose(0, 3, 1, 2) if data_format == "channels_first" else output


def softplus(x):
    return np.maximum(x, 0) + np.log1p(np.exp(-np.abs(x)))


def sigmoid(x):
    return np.where(x >= 0, 1, np.exp(-np.abs(x))) / (1 + np.exp(-np.abs(x)))


def erf(x):
    """By its series up to 3 and its continued fraction beyond; either is good to 1e-15 there."""
    small, big = np.minimum(np.abs(x), 3.0), np.maximum(np.abs(x), 3.0)
    term = small.copy()
    total = term.copy()
    for k in range(1, 90):
        term = term * small * small * 2 / (2 * k + 1)
        total = total + term
    series = 2 / np.sqrt(np.pi) * np.exp(-small * small) * total
    fraction = big.copy()
    for k in range(120, 0, -1):
        fraction = big + (k / 2) / fraction
    tail = np.exp(-big * big) / (np.sqrt(np.pi) * fraction)
    return np.sign(x) * np.where(np.abs(x) <= 3, series, 1 - tail)


def softmax(x, axes):
    axes = tuple(np.atleast_1d(axes))
    e = np.exp(x - x.max(axis=axes, keepdims=True))
    return e / e.sum(axis=axes, keepdims=True)


def log_softmax(x, axes):
    shifted = x - x.max(axis=axes, keepdims=True)
    return shifted - np.log(np.exp(shifted).sum(axis=axes, keepdims=True))


def sparsemax(x, axis):
    x = np.moveaxis(x, axis, -1)
    ordered = -np.sort(-x, axis=-1)
    total = np.cumsum(ordered, axis=-1)
    count = np.arange(1, x.shape[-1] + 1)
    size = np.sum(ordered - (total - 1) / count > 0, axis=-1, keepdims=True)
    tau = (np.take_along_axis(total, size - 1, axis=-1) - 1) / size
    return np.moveaxis(np.maximum(x - tau, 0), -1, axis)


def relu(x, max_value=None, negative_slope=0.0, threshold=0.0):
    y = np.where(x > threshold, x, 0)
    if max_value is not None:
        y = np.clip(y, 0, max_value)
    return y - negative_slope * np.maximum(threshold - x, 0) if negative_slope else y


# Keras' name -> function of the layer's sum and of the parameters that a layer object may carry
ACTIVATIONS = {
    "linear": lambda x: x,
    "relu": relu,
    "relu6": lambda x: np.clip(x, 0, 6),
    "leaky_relu": lambda x, negative_slope=0.2: np.where(x > 0, x, negative_slope * x),
    "elu": lambda x, alpha=1.0: np.where(x > 0, x, alpha * np.expm1(np.minimum(x, 0))),
    "selu": lambda x: 1.0507009873554805 * np.where(x > 0, x, 1.6732632423543772 * np.expm1(np.minimum(x, 0))),
    "celu": lambda x: np.maximum(x, 0) + np.expm1(np.minimum(x, 0)),
    "softplus": softplus,
    "softsign": lambda x: x / (1 + np.abs(x)),
    "squareplus": lambda x: (x + np.sqrt(x * x + 4)) / 2,
    "soft_shrink": lambda x: np.where(x > 0.5, x - 0.5, np.where(x < -0.5, x + 0.5, 0)),
    "hard_shrink": lambda x: np.where(np.abs(x) > 0.5, x, 0),
    "hard_tanh": lambda x: np.clip(x, -1, 1),
    "tanh_shrink": lambda x: x - np.tanh(x),
    "tanh": np.tanh,
    "sigmoid": sigmoid,
    "hard_sigmoid": lambda x: np.clip(x + 3, 0, 6) / 6,
    "hard_sigmoid_keras2": lambda x: np.clip(0.2 * x + 0.5, 0, 1),
    "sparse_plus": lambda x: np.where(x <= -1, 0, np.where(x < 1, (x + 1) ** 2 / 4, x)),
    "sparse_sigmoid": lambda x: np.clip((x + 1) / 2, 0, 1),
    "silu": lambda x: x * sigmoid(x),
    "hard_silu": lambda x: x * np.clip(x + 3, 0, 6) / 6,
    "gelu": lambda x: x * (1 + erf(x / np.sqrt(2))) / 2,
    "exponential": np.exp,
    "mish": lambda x: x * np.tanh(softplus(x)),
    "log_sigmoid": lambda x: -softplus(-x),
    "softmax": lambda x, axis=-1: softmax(x, axis),
    "log_softmax": lambda x: log_softmax(x, -1),
    "sparsemax": lambda x: sparsemax(x, -1),
    "glu": lambda x: np.split(x, 2, axis=-1)[0] * sigmoid(np.split(x, 2, axis=-1)[1]),
}


def largest_difference(found, expected):
    """The largest difference relative to the largest expected value; infinity where NaN or infinities are not at the same places."""
    found, expected = np.asarray(found, np.float64), np.asarray(expected, np.float64)
    if found.shape != expected.shape:
        return np.inf
    finite = np.isfinite(expected)
    if not np.array_equal(found[~finite], expected[~finite], equal_nan=True) or not np.isfinite(found[finite]).all():
        return np.inf
    if not finite.any():
        return 0.0
    largest = np.abs(expected[finite]).max()
    return np.abs(found[finite] - expected[finite]).max() / (largest if largest > 0 else 1.0)
