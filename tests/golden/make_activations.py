"""Writes activations.npz and activations.json: what TensorFlow and exact arithmetic make of the same float32 arguments.

    python tests/golden/make_activations.py

activations.json lists the activations: `elementwise` ones share the arguments `input`, `rows` ones work along the last axis of
`rows/<length>/input`. For each there are two answers in activations.npz:
  <id>/tensorflow   float32, Keras 3 on TensorFlow (hard_sigmoid_keras2: tf_keras), infinities and NaN as they come;
  <id>/exact        float64, the formula in `formula` at 60 digits (mpmath), rounded once. Where the argument, or one in its
                    row, is not finite, it repeats TensorFlow's answer.
sparsemax's threshold is wrong in Keras up to 3.15 wherever more than one value is in the support; here it is corrected.
`differs` lists the places (index in `input`, or row) where TensorFlow is further than 2e-6 relative and 1e-6 absolute from the exact
value of finite arguments: there TensorFlow's own arithmetic overflows or cancels, and `exact` is the answer to hold against. `undefined` lists rows that have
no answer worth holding to.
"""

import json
import os
from fractions import Fraction
from pathlib import Path

os.environ["TF_ENABLE_ONEDNN_OPTS"] = "0"
os.environ["TF_CPP_MIN_LOG_LEVEL"] = "3"

import keras  # noqa: E402
import mpmath  # noqa: E402
import numpy as np  # noqa: E402
import tensorflow as tf  # noqa: E402
import tf_keras  # noqa: E402

HERE = Path(__file__).parent
INFINITY = float("inf")
ROW_LENGTHS = [1, 2, 3, 5, 8, 16, 17, 64, 100]

mpmath.mp.dps = 60
# tanh and exp of the largest float would need 10^38 digits; beyond this the functions have long reached their limits.
FAR = mpmath.mpf(2000)


def exp(x):
    return mpmath.exp(x) if x > -FAR * 10 else mpmath.mpf(0)


def sigmoid(x):
    return 1 / (1 + exp(-x)) if x >= 0 else exp(x) / (1 + exp(x))


def tanh(x):
    return mpmath.tanh(x) if abs(x) < FAR else mpmath.sign(x)


def softplus(x):
    return max(x, mpmath.mpf(0)) + mpmath.log1p(exp(-abs(x)))


def erfc(x):
    return mpmath.erfc(x) if abs(x) < FAR else mpmath.mpf(0 if x > 0 else 2)


def expm1(x):
    return mpmath.expm1(x) if x > -FAR else mpmath.mpf(-1)


def clip(x, low, high):
    return min(max(x, low), high)


def relu(x, max_value, negative_slope, threshold):
    y = x if x > threshold else mpmath.mpf(0)
    if max_value != INFINITY:
        y = clip(y, 0, mpmath.mpf(max_value))
    return y - mpmath.mpf(negative_slope) * max(threshold - x, 0)


def gelu_approximate(x):
    return x * (1 + tanh(mpmath.sqrt(2 / mpmath.pi) * (x + mpmath.mpf("0.044715") * x**3))) / 2


# TensorFlow's own constants, to all their digits.
SELU_SCALE = mpmath.mpf("1.0507009873554804934193349852946")
SELU_ALPHA = mpmath.mpf("1.6732632423543772848170429916717")

# kind -> formula in words, function of (x, a, b, c) in exact arithmetic
EXACT = {
    "linear": ("x", lambda x, a, b, c: x),
    "relu": ("clip(x > c ? x : 0, 0, a) - b max(c - x, 0); a max_value, b negative_slope, c threshold", relu),
    "relu6": ("clip(x, 0, 6)", lambda x, a, b, c: clip(x, 0, 6)),
    "leaky_relu": ("x > 0 ? x : a x", lambda x, a, b, c: x if x > 0 else a * x),
    "elu": ("x > 0 ? x : a expm1(x)", lambda x, a, b, c: x if x > 0 else a * expm1(x)),
    "selu": (
        "scale (x > 0 ? x : alpha expm1(x)), scale 1.05070098735548..., alpha 1.67326324235437...",
        lambda x, a, b, c: SELU_SCALE * (x if x > 0 else SELU_ALPHA * expm1(x)),
    ),
    "celu": ("max(x, 0) + a expm1(min(x, 0) / a)", lambda x, a, b, c: max(x, 0) + a * expm1(min(x, mpmath.mpf(0)) / a)),
    "softplus": ("max(x, 0) + log1p(exp(-|x|))", lambda x, a, b, c: softplus(x)),
    "softsign": ("x / (1 + |x|)", lambda x, a, b, c: x / (1 + abs(x))),
    "squareplus": ("(x + sqrt(x^2 + a)) / 2", lambda x, a, b, c: (x + mpmath.sqrt(x * x + a)) / 2),
    "soft_shrink": ("x > a ? x - a : x < -a ? x + a : 0", lambda x, a, b, c: x - a if x > a else x + a if x < -a else 0),
    "hard_shrink": ("|x| > a ? x : 0", lambda x, a, b, c: x if abs(x) > a else 0),
    "hard_tanh": ("clip(x, -1, 1)", lambda x, a, b, c: clip(x, -1, 1)),
    "tanh_shrink": ("x - tanh(x)", lambda x, a, b, c: x - tanh(x)),
    "threshold": ("x > a ? x : b", lambda x, a, b, c: x if x > a else b),
    "tanh": ("tanh(x)", lambda x, a, b, c: tanh(x)),
    "sigmoid": ("1 / (1 + exp(-x))", lambda x, a, b, c: sigmoid(x)),
    "hard_sigmoid": ("clip(x + 3, 0, 6) / 6", lambda x, a, b, c: clip(x + 3, 0, 6) / 6),
    "hard_sigmoid_keras2": ("clip(0.2 x + 0.5, 0, 1)", lambda x, a, b, c: clip(x / 5 + mpmath.mpf("0.5"), 0, 1)),
    "sparse_plus": ("x <= -1 ? 0 : x < 1 ? (x + 1)^2 / 4 : x", lambda x, a, b, c: 0 if x <= -1 else (x + 1) ** 2 / 4 if x < 1 else x),
    "sparse_sigmoid": ("clip((x + 1) / 2, 0, 1)", lambda x, a, b, c: clip((x + 1) / 2, 0, 1)),
    "silu": ("x / (1 + exp(-x))", lambda x, a, b, c: x * sigmoid(x)),
    "hard_silu": ("x clip(x + 3, 0, 6) / 6", lambda x, a, b, c: x * clip(x + 3, 0, 6) / 6),
    "gelu": ("x erfc(-x / sqrt 2) / 2", lambda x, a, b, c: x * erfc(-x / mpmath.sqrt(2)) / 2),
    "gelu_approximate": ("x (1 + tanh(sqrt(2 / pi) (x + 0.044715 x^3))) / 2", lambda x, a, b, c: gelu_approximate(x)),
    "exponential": ("exp(x)", lambda x, a, b, c: exp(x) if x < FAR else INFINITY),
    "mish": ("x tanh(softplus(x))", lambda x, a, b, c: x * tanh(softplus(x))),
    "log_sigmoid": ("-softplus(-x)", lambda x, a, b, c: -softplus(-x)),
}


def layer_object(class_name, **config):
    """How Keras 3 writes an activation that is a layer."""
    return {"module": "keras.layers", "class_name": class_name, "config": config, "registered_name": None}


def relu_case(max_value=None, negative_slope=0.0, threshold=0.0):
    config = layer_object("ReLU", max_value=max_value, negative_slope=negative_slope, threshold=threshold)
    return config, lambda x: keras.activations.relu(x, negative_slope, max_value, threshold)


def elementwise_cases():
    """(id, kind, parameters a b c, what a config says or None where it cannot say it, TensorFlow's function)"""
    ka = keras.activations
    named = [
        "linear", "relu6", "selu", "softplus", "softsign", "hard_tanh", "tanh_shrink", "tanh", "sigmoid", "hard_sigmoid",
        "sparse_plus", "sparse_sigmoid", "silu", "hard_silu", "gelu", "exponential", "mish", "log_sigmoid",
    ]  # fmt: skip
    for name in named:
        yield name, name, (), name, ka.get(name)
    yield "relu", "relu", (INFINITY, 0, 0), "relu", ka.relu
    for key, arguments in {
        "relu_max_value_1": (1.0, 0.0, 0.0),
        "relu_max_value_0": (0.0, 0.0, 0.0),
        "relu_max_value_6_slope_0.125": (6.0, 0.125, 0.0),
        "relu_slope_0.25": (None, 0.25, 0.0),
        "relu_slope_1.5": (None, 1.5, 0.0),
        "relu_threshold_0.75": (None, 0.0, 0.75),
        "relu_threshold_2_slope_0.5": (None, 0.5, 2.0),
        "relu_max_value_2.5_slope_0.1_threshold_0.5": (2.5, 0.1, 0.5),
        "relu_max_value_1_slope_2_threshold_3": (1.0, 2.0, 3.0),
    }.items():
        config, function = relu_case(*arguments)
        max_value, slope, threshold = arguments
        yield key, "relu", (INFINITY if max_value is None else max_value, slope, threshold), config, function
    yield "leaky_relu", "leaky_relu", (0.2,), "leaky_relu", ka.leaky_relu
    for slope in (0.3, 0.0, 2.0):
        config = layer_object("LeakyReLU", negative_slope=slope)
        yield f"leaky_relu_{slope:g}", "leaky_relu", (slope,), config, lambda x, s=slope: ka.leaky_relu(x, s)
    yield "elu", "elu", (1.0,), "elu", ka.elu
    for alpha in (0.5, 2.0, 0.1):
        yield f"elu_{alpha:g}", "elu", (alpha,), layer_object("ELU", alpha=alpha), lambda x, a=alpha: ka.elu(x, a)
    yield "celu", "celu", (1.0,), "celu", ka.celu
    for alpha in (0.5, 3.0):
        yield f"celu_{alpha:g}", "celu", (alpha,), None, lambda x, a=alpha: ka.celu(x, a)
    yield "squareplus", "squareplus", (4.0,), "squareplus", ka.squareplus
    for b in (0.0, 1.0, 100.0):
        yield f"squareplus_{b:g}", "squareplus", (b,), None, lambda x, b=b: ka.squareplus(x, b)
    for name in ("soft_shrink", "hard_shrink"):
        yield name, name, (0.5,), name, ka.get(name)
        for threshold in (0.0, 1.25):
            yield f"{name}_{threshold:g}", name, (threshold,), None, lambda x, f=ka.get(name), t=threshold: f(x, t)
    for threshold, value in ((0.5, -2.0), (-1.0, 0.0)):
        yield (f"threshold_{threshold:g}_{value:g}", "threshold", (threshold, value), None,
               lambda x, t=threshold, v=value: ka.threshold(x, t, v))  # fmt: skip
    yield "gelu_approximate", "gelu_approximate", (), None, lambda x: ka.gelu(x, approximate=True)
    yield "hard_sigmoid_keras2", "hard_sigmoid_keras2", (), "hard_sigmoid", tf_keras.activations.hard_sigmoid


def special_arguments():
    """Zeros, subnormals, every threshold with its neighbours, where exp and its kin saturate, and all magnitudes; both signs."""
    largest = np.finfo(np.float32).max
    smallest = np.float32(1.1754944e-38)
    magnitudes = [0.0, 1e-45, 1e-40, 5.9e-39, smallest, 1e-30, 1e-20]
    magnitudes += [10.0**e for e in range(-8, 0)]
    magnitudes += [10, 20, 50, 87.3, 88.7, 89, 100, 103, 104, 1e3, 1e4, 1e10, 1.8446743e19, 1e30, largest / 2, largest, INFINITY]
    magnitudes += [7, 8, 9, 12, 13, 15, 16, 17, 18, 30, 40, 60, 80, 85, 150]
    for threshold in [0.1, 0.125, 0.25, 0.5, 0.75, 1, 1.25, 2, 2.5, 3, 6, 88.72284, 87.33655, 103.97208, 9.0109, 16.6355, 0.625, 0.04]:
        t = np.float32(threshold)
        magnitudes += [t, np.nextafter(t, np.float32(0)), np.nextafter(t, np.float32(INFINITY))]
    magnitudes = np.array(magnitudes, np.float32)
    random = np.random.default_rng(20240607)
    spread = np.exp2(random.uniform(-40, 40, 60))
    middle = random.uniform(0, 12, 140)
    magnitudes = np.unique(np.concatenate([magnitudes, spread.astype(np.float32), middle.astype(np.float32)]))
    return np.concatenate([-magnitudes[::-1], magnitudes, [np.float32("nan")]]).astype(np.float32)


def row_arguments(length):
    """Rows for the activations along an axis: ordinary ones, ties, large values, infinities, NaN."""
    random = np.random.default_rng(1000 + length)
    rows = [random.normal(0, scale, length) for scale in (0.25, 1, 3, 30)]
    rows += [random.uniform(-1, 1, length), random.integers(-2, 3, length), np.zeros(length), np.full(length, -7.25)]
    rows += [np.linspace(-1, 1, length), np.linspace(80, 95, length), -np.linspace(80, 110, length)]
    rows += [random.normal(0, 1, length) + 1e4, random.normal(0, 1, length) * 1e10, random.normal(0, 0.01, length)]
    rows += [np.where(np.arange(length) % 2 == 0, 3e38, -3e38), random.choice([1.5, 1.25], length)]
    position = length // 2
    for base, special in ((1.0, INFINITY), (1.0, -INFINITY), (1.0, np.nan), (20.0, -INFINITY)):
        row = random.normal(0, base, length)
        row[position] = special
        rows.append(row)
    two = random.normal(0, 1, length)
    two[0] = INFINITY
    two[-1] = INFINITY
    rows += [two, np.full(length, -INFINITY), np.full(length, INFINITY)]
    with np.errstate(over="ignore"):
        return np.array(rows).astype(np.float32)


def exact_softmax(row):
    exponentials = [exp(x - max(row)) for x in row]
    return [e / sum(exponentials) for e in exponentials]


def exact_log_softmax(row):
    top = max(row)
    total = mpmath.log(sum(exp(x - top) for x in row))
    return [x - top - total for x in row]


def exact_sparsemax(row):
    values = [Fraction(float(x)) for x in row]
    total, tau = Fraction(0), None
    for count, value in enumerate(sorted(values, reverse=True), start=1):
        total += value
        if value - (total - 1) / count > 0:
            tau = (total - 1) / count
    return [float(max(value - tau, Fraction(0))) for value in values]


def corrected_sparsemax(x):
    """Keras' steps with the one error corrected that Keras up to 3.15 makes: its threshold sums the cumulative sums over the support,
    where the sum of the sorted values over the support is meant (keras-team/keras issue 23425)."""
    ordered = tf.sort(x, direction="DESCENDING", axis=-1)
    count = tf.range(1, x.shape[-1] + 1, dtype=x.dtype)
    support = ordered - (tf.cumsum(ordered, axis=-1) - 1) / count > 0
    inside = tf.reduce_sum(tf.where(support, ordered, 0.0), axis=-1, keepdims=True)
    tau = (inside - 1) / tf.reduce_sum(tf.cast(support, x.dtype), axis=-1, keepdims=True)
    return tf.maximum(x - tau, 0.0)


def exact_glu(row):
    half = len(row) // 2
    return [a * sigmoid(b) for a, b in zip(row[:half], row[half:])]


ROWS = {
    "softmax": ("exp(x - max) / sum exp(x - max)", exact_softmax),
    "log_softmax": ("x - max - log sum exp(x - max)", exact_log_softmax),
    "sparsemax": ("max(x - tau, 0); sorted descending, k the last with x_k > tau_k = (x_1 + ... + x_k - 1) / k", exact_sparsemax),
    "glu": ("first half times sigmoid of the second", exact_glu),
}


def far(tensorflow, exact):
    """Where TensorFlow misses the tolerance; an answer beyond the largest float is infinity."""
    with np.errstate(over="ignore", invalid="ignore"):
        exact32 = exact.astype(np.float32)
        close = np.abs(tensorflow.astype(np.float64) - exact) <= np.maximum(1e-6, 2e-6 * np.abs(exact))
    return ~(close | (tensorflow == exact32) | (np.isnan(tensorflow) & np.isnan(exact32)))


def main():
    arrays, elementwise, rows = {}, [], []
    arguments = special_arguments()
    arrays["input"] = arguments
    for key, kind, parameters, config, function in elementwise_cases():
        # Python numbers become float32 in TensorFlow; the exact formula takes the same float32 parameters.
        rounded = [float(np.float32(p)) for p in parameters] + [0.0] * (3 - len(parameters))
        formula, exact_function = EXACT[kind]
        tensorflow = np.asarray(function(tf.constant(arguments)), np.float32)
        exact = tensorflow.astype(np.float64)
        for i in np.flatnonzero(np.isfinite(arguments)):
            exact[i] = float(exact_function(mpmath.mpf(float(arguments[i])), *rounded))
        arrays[f"{key}/tensorflow"], arrays[f"{key}/exact"] = tensorflow, exact
        differs = [int(i) for i in np.flatnonzero(far(tensorflow, exact))]
        a, b, c = ("inf" if p == INFINITY else p for p in rounded)
        elementwise.append({"id": key, "kind": kind, "a": a, "b": b, "c": c, "activation": config,
                            "keras": "keras2" if kind == "hard_sigmoid_keras2" else "keras3",
                            "formula": formula, "differs": differs})  # fmt: skip
        if differs:
            print(f"{key}: TensorFlow misses the tolerance at {[float(arguments[i]) for i in differs]}")
    for length in ROW_LENGTHS:
        arrays[f"rows/{length}/input"] = row_arguments(length)
    for kind, (formula, exact_function) in ROWS.items():
        lengths = [n for n in ROW_LENGTHS if kind != "glu" or n % 2 == 0]
        differs = {}
        for length in lengths:
            block = arrays[f"rows/{length}/input"]
            function = corrected_sparsemax if kind == "sparsemax" else keras.activations.get(kind)
            tensorflow = np.asarray(function(tf.constant(block)), np.float32)
            exact = tensorflow.astype(np.float64)
            for i in np.flatnonzero(np.isfinite(block).all(axis=1)):
                exact[i] = [float(y) for y in exact_function([mpmath.mpf(float(x)) for x in block[i]])]
            arrays[f"{kind}/{length}/tensorflow"], arrays[f"{kind}/{length}/exact"] = tensorflow, exact
            wrong = [int(i) for i in np.flatnonzero(far(tensorflow, exact).any(axis=1))]
            if wrong:
                differs[str(length)] = wrong
                print(f"{kind} of {length}: TensorFlow misses the tolerance in rows {wrong}")
        # What sparsemax makes of NaN hinges on where TensorFlow's sort happens to put it.
        nan = np.flatnonzero(np.isnan(row_arguments(3)).any(axis=1))
        undefined = [int(i) for i in nan] if kind == "sparsemax" else []
        rows.append({"id": kind, "kind": kind, "lengths": lengths, "formula": formula, "differs": differs,
                     "undefined": undefined})  # fmt: skip
    np.savez_compressed(HERE / "activations.npz", **arrays)
    index = {
        "tensorflow": tf.__version__,
        "keras": keras.__version__,
        "tf_keras": tf_keras.__version__,
        "elementwise": elementwise,
        "rows": rows,
    }
    (HERE / "activations.json").write_text(json.dumps(index, indent=1) + "\n")
    print(f"{len(arguments)} arguments, {len(elementwise)} elementwise activations, {len(rows)} along an axis")


if __name__ == "__main__":
    main()
