"""Writes the golden vectors: cases.json and cases_<group>_<n>.npz, what Keras itself computes for several hundred small layers.

    python tests/golden/make_cases.py

cases.json is a list of {id, file, keras, source, config, input_shape, output_shape, note}; the npz files hold, in float32,
<id>/depthwise_kernel, <id>/pointwise_kernel, <id>/bias (where there is one), <id>/input and <id>/output. `keras` says which Keras the
config is from. `source` is "keras" where the output is Keras' own, checked against the float64 sum of reference.py, and "float64"
where it is that sum, because TensorFlow cannot compute the layer or is known to be wrong about it; `note` then says why.

The layers of the last group, float16, compute in half precision: their config says dtype float16 or mixed_float16. <id>/input, the
weights and <id>/output are float16; the weights of mixed_float16 are the float32 variables that Keras rounds to float16 before it uses
them. <id>/exact is what Keras computes for the same values in float64, stored as float32. TensorFlow on a CPU sums the depthwise stage,
adds the bias and activates in float16, and sums the pointwise product in float32, so that <id>/output has errors that the type alone
does not ask for.
The same values come out every time, but for the last bits of sums that TensorFlow orders otherwise on another CPU.
"""

import json
import os
import zlib
from pathlib import Path

os.environ["TF_ENABLE_ONEDNN_OPTS"] = "0"
os.environ["TF_CPP_MIN_LOG_LEVEL"] = "3"

import keras  # noqa: E402
import numpy as np  # noqa: E402
import tensorflow as tf  # noqa: E402
import tf_keras  # noqa: E402

from reference import ACTIVATIONS, largest_difference, separable_conv2d  # noqa: E402

HERE = Path(__file__).parent
FORMATS = ("channels_last", "channels_first")
PADDINGS = ("valid", "same")
WIDTHS = (1, 2, 3, 4, 5, 7, 8, 9, 12, 15, 16, 17, 24, 31, 32, 33, 47, 48, 49, 63, 64, 65)
# How far Keras may be from the float64 sum, relative to the largest output; the C++ test allows 1e-5.
TOLERANCE = 3e-6
# The same for a layer that computes in float16. Nearly all of it is TensorFlow's arithmetic in that type.
HALF_TOLERANCE = 4e-3
# For Keras in float64, whose activations have some constants of float32.
EXACT_TOLERANCE = 1e-8
SHARD_BYTES = 700_000

TRAINING_KEYS = [f"{part}_{kind}" for part in ("depthwise", "pointwise", "bias", "kernel")
                 for kind in ("initializer", "regularizer", "constraint")] + ["activity_regularizer"]  # fmt: skip


def pair(value):
    return (value, value) if isinstance(value, int) else tuple(value)


def spell(value):
    """(3, 3) -> 3, (1, 7) -> 1x7"""
    a, b = pair(value)
    return f"{a}" if a == b else f"{a}x{b}"


class Cases:
    def __init__(self):
        self.index = []
        self.shards = {}
        self.sizes = {}
        self.largest_half_difference = 0.0

    def add(self, group, name, *, image, filters, kernel_size=3, strides=1, dilation_rate=1, padding="valid", fmt="channels_last",
            multiplier=1, use_bias=True, activation=None, exact=("linear", {}), version="keras3", full=False, scale=1.0,
            denominator=8, special=None, note=""):  # fmt: skip
        """One case. `image` is (N, H, W, C) whatever the format; `activation` is what the config says and `exact` the name and
        parameters of the same in reference.ACTIVATIONS; `scale` widens the image's range, `special` puts infinities and NaN in it."""
        case = f"{group}_{name}"
        if any(entry["id"] == case for entry in self.index):
            raise RuntimeError(f"{case} is there twice")
        random = np.random.default_rng(zlib.crc32(case.encode()))

        def values(shape, zero=True):
            numbers = random.integers(-denominator, denominator + 1, shape)
            if not zero:
                numbers = np.where(numbers == 0, denominator, numbers)
            return (numbers / denominator).astype(np.float32)

        n, height, width, channels = image
        kernel_size, strides, dilation_rate = pair(kernel_size), pair(strides), pair(dilation_rate)
        # Without zeros in the weights, so that an infinity does not meet one.
        depthwise = values((*kernel_size, channels, multiplier), zero=special is None)
        pointwise = values((1, 1, channels * multiplier, filters), zero=special is None)
        bias = values((filters,)) if use_bias else None
        pixels = values((n, height, width, channels)) * np.float32(scale)
        if special is not None:
            for position, value in special:
                pixels[position] = value
        if fmt == "channels_first":
            pixels = np.ascontiguousarray(pixels.transpose(0, 3, 1, 2))

        lib = keras if version == "keras3" else tf_keras
        layer = lib.layers.SeparableConv2D(
            filters, kernel_size, strides=strides, dilation_rate=dilation_rate, padding=padding, data_format=fmt,
            depth_multiplier=multiplier, use_bias=use_bias, name=case,
        )  # fmt: skip
        config = layer.get_config()
        config["activation"] = activation if activation is not None else "linear"
        if not full:
            for key in TRAINING_KEYS:
                config.pop(key, None)
        config = json.loads(json.dumps(config))

        total = separable_conv2d(pixels, depthwise, pointwise, bias, strides, dilation_rate, padding, fmt)
        name64, parameters = exact
        weights = [depthwise, pointwise] + ([bias] if use_bias else [])
        reason = tensorflow_is_wrong(n, strides, fmt, use_bias, filters, total.shape[3], name64)
        if reason:
            source, note = "float64", reason
            output = ACTIVATIONS[name64](total, **parameters).astype(np.float32)
        else:
            source = "keras"
            if special is None:
                output = run_keras(lib, config, weights, pixels)
                difference = largest_difference(output, ACTIVATIONS[name64](total, **parameters))
            else:
                # The sum is checked before the activation, whose way with NaN is TensorFlow's own.
                linear = run_keras(lib, {**config, "activation": "linear"}, weights, pixels)
                difference = largest_difference(linear, total)
                output = run_keras(lib, config, weights, pixels)
            if not difference < TOLERANCE:
                raise RuntimeError(f"{case}: Keras is {difference:.2g} away from the float64 sum")
        arrays = {"depthwise_kernel": depthwise, "pointwise_kernel": pointwise, "input": pixels, "output": output}
        if use_bias:
            arrays["bias"] = bias
        file = self.shard(group, arrays)
        for key, array in arrays.items():
            self.shards[file][f"{case}/{key}"] = array
        self.index.append({"id": case, "file": file, "keras": version, "source": source, "input_shape": list(pixels.shape),
                           "output_shape": list(output.shape), "note": note, "config": config})  # fmt: skip

    def add_half(self, name, *, image, filters, kernel_size=3, strides=1, dilation_rate=1, padding="same", fmt="channels_last",
                 multiplier=1, use_bias=True, activation="linear", exact=None, version="keras3", dtype="float16", scale=1.0):  # fmt: skip
        """One case in half precision. `scale`, a power of two, widens the image's range."""
        case = f"float16_{name}"
        if any(entry["id"] == case for entry in self.index):
            raise RuntimeError(f"{case} is there twice")
        random = np.random.default_rng(zlib.crc32(case.encode()))
        n, height, width, channels = image
        kernel_size, strides, dilation_rate = pair(kernel_size), pair(strides), pair(dilation_rate)
        name64, parameters = exact or (activation, {})
        if tensorflow_is_wrong(n, strides, fmt, use_bias, filters, width, name64):
            raise RuntimeError(f"{case}: TensorFlow cannot compute this layer")

        def values(shape):
            # All 11 bits of float16's precision.
            return (random.integers(-2048, 2049, shape) / 2048).astype(np.float16)

        def variable(shape):
            return random.uniform(-1, 1, shape).astype(np.float32) if dtype == "mixed_float16" else values(shape)

        weights = [variable((*kernel_size, channels, multiplier)), variable((1, 1, channels * multiplier, filters))]
        weights += [variable((filters,)) * np.float16(scale)] if use_bias else []
        pixels = values((n, height, width, channels)) * np.float16(scale)
        if fmt == "channels_first":
            pixels = np.ascontiguousarray(pixels.transpose(0, 3, 1, 2))

        lib = keras if version == "keras3" else tf_keras
        policy = lib.mixed_precision.Policy(dtype) if version == "keras2" else dtype
        layer = lib.layers.SeparableConv2D(
            filters, kernel_size, strides=strides, dilation_rate=dilation_rate, padding=padding, data_format=fmt,
            depth_multiplier=multiplier, use_bias=use_bias, name=case, dtype=policy,
        )  # fmt: skip
        config = layer.get_config()
        config["activation"] = activation
        for key in TRAINING_KEYS:
            config.pop(key, None)
        config = json.loads(json.dumps(config))

        rounded = [w.astype(np.float16).astype(np.float64) for w in weights]
        output = run_keras(lib, config, weights, pixels, np.float16)
        exact64 = run_keras(lib, {**config, "dtype": "float64"}, rounded, pixels.astype(np.float64), np.float64)
        total = separable_conv2d(pixels, *rounded[:2], rounded[2] if use_bias else None, strides, dilation_rate, padding, fmt)
        difference = largest_difference(exact64, ACTIVATIONS[name64](total, **parameters))
        if not difference < EXACT_TOLERANCE:
            raise RuntimeError(f"{case}: Keras in float64 is {difference:.2g} away from the float64 sum")
        difference = largest_difference(output, exact64)
        if not difference < HALF_TOLERANCE:
            raise RuntimeError(f"{case}: Keras in float16 is {difference:.2g} away from Keras in float64")
        self.largest_half_difference = max(self.largest_half_difference, difference)
        if np.abs(exact64).max() > np.finfo(np.float16).max:
            raise RuntimeError(f"{case}: the result leaves float16's range")

        arrays = {"depthwise_kernel": weights[0], "pointwise_kernel": weights[1], "input": pixels, "output": output,
                  "exact": exact64.astype(np.float32)}  # fmt: skip
        if use_bias:
            arrays["bias"] = weights[2]
        file = self.shard("float16", arrays)
        for key, array in arrays.items():
            self.shards[file][f"{case}/{key}"] = array
        self.index.append({"id": case, "file": file, "keras": version, "source": "keras", "input_shape": list(pixels.shape),
                           "output_shape": list(output.shape), "note": "", "config": config})  # fmt: skip

    def shard(self, group, arrays):
        """The file that the arrays go to: the group's last one while it is small enough."""
        size = sum(len(zlib.compress(a.tobytes())) + 400 for a in arrays.values())
        number = 0
        while self.sizes.get(f"cases_{group}_{number}.npz", 0) + size > SHARD_BYTES:
            number += 1
        file = f"cases_{group}_{number}.npz"
        self.sizes[file] = self.sizes.get(file, 0) + size
        self.shards.setdefault(file, {})
        return file

    def write(self):
        for old in HERE.glob("cases_*.npz"):
            old.unlink()
        for file, arrays in self.shards.items():
            np.savez_compressed(HERE / file, **arrays)
        (HERE / "cases.json").write_text("[\n" + ",\n".join(json.dumps(entry) for entry in self.index) + "\n]\n")


def run_keras(lib, config, weights, pixels, dtype=np.float32):
    """The layer that the config describes, made by Keras from it; `dtype` is that of its result."""
    layer = lib.layers.SeparableConv2D.from_config(config)
    layer.build(pixels.shape)
    layer.set_weights(weights)
    output = np.asarray(layer(tf.constant(pixels)))
    if output.dtype != dtype:
        raise RuntimeError(f"expected {dtype.__name__} from Keras, found {output.dtype}")
    return output


def tensorflow_is_wrong(batch, strides, fmt, use_bias, filters, columns, activation):
    """Why TensorFlow's answer cannot be taken, or None."""
    if batch == 0:
        return "TensorFlow refuses an empty batch or gives it wrong sizes"
    if strides[0] != strides[1]:
        return "TensorFlow on a CPU has no unequal strides"
    if fmt == "channels_first" and use_bias and filters == columns:
        return "TensorFlow on a CPU adds the bias along the columns where they are as many as the filters"
    if activation == "sparsemax":
        return "Keras up to 3.15 computes sparsemax's threshold from the wrong sum (keras-team/keras issue 23425)"
    return None


def kernels(cases):
    sizes = [1, 2, 3, 4, 5, 6, 7, (1, 7), (7, 1), (2, 3), (3, 2), (1, 2), (2, 1), (1, 3), (3, 1), (5, 3), (4, 7), (6, 1)]
    for i, size in enumerate(sizes):
        for padding in PADDINGS:
            for fmt in FORMATS:
                # Sizes on both sides of a multiple of the vector width, even and odd.
                image = (1 + i % 2, 8 + i % 5, 9 + i % 7, 3 + 5 * (i % 3))
                cases.add("kernels", f"{spell(size)}_{padding}_{fmt}", image=image, filters=4 + 3 * (i % 4), kernel_size=size,
                          padding=padding, fmt=fmt, use_bias=i % 3 != 0)  # fmt: skip


def strides(cases):
    i = 0
    for stride in (1, 2, 3, 4):
        for size in (1, 2, 3, 5):
            for padding in PADDINGS:
                for fmt in FORMATS:
                    i += 1
                    image = (1, 8 + i % 6, 10 + i % 5, 4 + i % 5)
                    cases.add("strides", f"{stride}_kernel_{size}_{padding}_{fmt}", image=image, filters=5 + i % 4,
                              kernel_size=size, strides=stride, padding=padding, fmt=fmt)  # fmt: skip
    for stride in ((1, 2), (2, 1), (1, 3), (3, 2), (4, 1), (2, 3)):
        for padding in PADDINGS:
            for fmt in FORMATS:
                i += 1
                cases.add("strides", f"{spell(stride)}_{padding}_{fmt}", image=(1, 9 + i % 3, 11 + i % 4, 6), filters=7,
                          kernel_size=(3, 2 + i % 2), strides=stride, padding=padding, fmt=fmt, multiplier=1 + i % 2)  # fmt: skip
    cases.add("strides", "1x2_of_width_1", image=(1, 6, 1, 4), filters=4, strides=(1, 2), padding="same")
    # Even extents pad on one side only, with a kernel of 3 and stride 2 nothing above and one row below.
    for height in (4, 5, 6, 7):
        for width in (6, 7):
            cases.add("strides", f"2_same_{height}x{width}", image=(1, height, width, 3), filters=4, strides=2, padding="same")


def dilation(cases):
    i = 0
    for rate in (1, 2, 3, 6, (1, 2), (3, 1), (2, 6)):
        for size in (2, 3, (1, 3), (5, 2)):
            for padding in PADDINGS:
                i += 1
                rows, cols = pair(size)
                image = (1, (rows - 1) * pair(rate)[0] + 2 + i % 4, (cols - 1) * pair(rate)[1] + 3 + i % 5, 3 + i % 6)
                cases.add("dilation", f"{spell(rate)}_kernel_{spell(size)}_{padding}", image=image, filters=4 + i % 6,
                          kernel_size=size, dilation_rate=rate, padding=padding, fmt=FORMATS[i // 2 % 2],
                          multiplier=1 + i % 2)  # fmt: skip


def channels(cases):
    count = len(WIDTHS)
    for i, width in enumerate(WIDTHS):
        for j in sorted({i, (i * 7 + 3) % count, (i + 11) % count}):
            fmt = FORMATS[(i + j) % 2]
            cases.add("channels", f"{width}_to_{WIDTHS[j]}_{fmt}", image=(1, 4, 5, width), filters=WIDTHS[j], padding="same", fmt=fmt,
                      use_bias=(i + j) % 3 != 0)  # fmt: skip
    for multiplier in (1, 2, 3, 4, 7):
        for i, width in enumerate((1, 2, 3, 5, 8, 16, 17)):
            fmt = FORMATS[i % 2]
            cases.add("channels", f"{width}_times_{multiplier}_{fmt}", image=(1, 5, 6, width), filters=5 + 4 * (i % 3), fmt=fmt,
                      padding=PADDINGS[i % 2], multiplier=multiplier, kernel_size=(3, 1 + i % 3))  # fmt: skip


def extents(cases):
    """Every width of an image near the tile and vector sizes, and the smallest images."""
    for width in [*range(1, 20), 23, 24, 25, 31, 32, 33, 63, 64, 65]:
        fmt = FORMATS[width % 2]
        cases.add("extents", f"columns_{width}", image=(1, 3, width, 4), filters=6, padding="same", fmt=fmt)
        cases.add("extents", f"rows_{width}", image=(1, width, 2, 3), filters=5, kernel_size=2, padding="same",
                  fmt=FORMATS[(width + 1) % 2])  # fmt: skip
    for fmt in FORMATS:
        cases.add("extents", f"1x1_image_{fmt}", image=(2, 1, 1, 5), filters=3, kernel_size=1, fmt=fmt)
        cases.add("extents", f"1x1_image_same_{fmt}", image=(1, 1, 1, 9), filters=4, kernel_size=3, padding="same", fmt=fmt)
        cases.add("extents", f"1x1_image_everything_1_{fmt}", image=(1, 1, 1, 1), filters=2, kernel_size=1, fmt=fmt)
        cases.add("extents", f"one_channel_one_filter_{fmt}", image=(1, 6, 7, 1), filters=1, fmt=fmt)
        cases.add("extents", f"kernel_7_on_2x3_{fmt}", image=(1, 2, 3, 6), filters=5, kernel_size=7, padding="same", fmt=fmt)
        cases.add("extents", f"kernel_6_on_3x1_{fmt}", image=(1, 3, 1, 2), filters=3, kernel_size=6, padding="same", fmt=fmt)
        cases.add("extents", f"kernel_5_dilation_6_on_4x4_{fmt}", image=(1, 4, 4, 3), filters=3, kernel_size=5, dilation_rate=6,
                  padding="same", fmt=fmt)  # fmt: skip
        cases.add("extents", f"kernel_3_stride_4_on_2x3_{fmt}", image=(1, 2, 3, 4), filters=5, strides=4, padding="same", fmt=fmt)
        cases.add("extents", f"stride_4_kernel_2_{fmt}", image=(1, 11, 10, 4), filters=5, kernel_size=2, strides=4, fmt=fmt)
        cases.add("extents", f"kernel_is_image_{fmt}", image=(2, 4, 6, 5), filters=7, kernel_size=(4, 6), fmt=fmt)
        for n in (0, 1, 3):
            for padding in PADDINGS:
                cases.add("extents", f"batch_{n}_{padding}_{fmt}", image=(n, 6, 5, 4), filters=8, padding=padding, fmt=fmt)
        cases.add("extents", f"batch_0_stride_2_{fmt}", image=(0, 7, 8, 3), filters=2, strides=2, padding="same", fmt=fmt)
        # As many columns as filters, with a bias and without.
        cases.add("extents", f"columns_as_filters_{fmt}", image=(1, 5, 8, 3), filters=8, padding="same", fmt=fmt)
        cases.add("extents", f"columns_as_filters_no_bias_{fmt}", image=(1, 5, 8, 3), filters=8, padding="same", fmt=fmt,
                  use_bias=False)  # fmt: skip


def keras3_object(class_name, **config):
    return {"module": "keras.layers", "class_name": class_name, "registered_name": None,
            "config": {"name": class_name.lower(), "trainable": True,
                       "dtype": {"module": "keras", "class_name": "DTypePolicy", "config": {"name": "float32"},
                                 "registered_name": None}, **config}}  # fmt: skip


def keras2_object(class_name, **config):
    return {"class_name": class_name, "config": {"name": class_name.lower(), "trainable": True, "dtype": "float32", **config}}


def activations(cases):
    # What each activation needs to show its ranges: how far the image is scaled.
    scales = {"relu6": 3, "hard_sigmoid": 2, "hard_silu": 2, "sparse_plus": 0.5, "sparse_sigmoid": 0.5, "hard_tanh": 0.5,
              "soft_shrink": 0.5, "hard_shrink": 0.5, "exponential": 0.75, "softmax": 1, "log_softmax": 1, "sparsemax": 0.25}  # fmt: skip

    def add(name, activation, exact, version="keras3", scale=1.0, image=(2, 5, 8, 6), filters=6, **more):
        for fmt in FORMATS:
            cases.add("activations", f"{version}_{name}_{fmt}", image=image, filters=filters, padding="same", fmt=fmt, activation=activation,
                      exact=exact, version=version, scale=scale, **more)  # fmt: skip

    names3 = [name for name in keras.src.activations.ALL_OBJECTS_DICT if name != "threshold"]
    aliases = {"swish": "silu", "hard_swish": "hard_silu"}
    for name in sorted(names3):
        own = aliases.get(name, name)
        add(name, name, (own, {}), scale=scales.get(own, 1.0))
        if name in aliases:
            continue  # a serialised function carries its own name
        function = {"module": "builtins", "class_name": "function", "config": name, "registered_name": "function"}
        cases.add("activations", f"keras3_{name}_object", image=(1, 4, 6, 5), filters=8, activation=function, exact=(own, {}),
                  scale=scales.get(own, 1.0), fmt=FORMATS[len(name) % 2])  # fmt: skip
    cases.add("activations", "keras3_none", image=(1, 4, 6, 5), filters=8, activation=None)

    inherited = {"gelu", "linear", "relu", "sigmoid", "tanh", "elu", "selu", "softplus", "softsign", "swish", "exponential", "mish", "softmax"}
    for name in sorted(inherited) + ["hard_sigmoid"]:
        own = "hard_sigmoid_keras2" if name == "hard_sigmoid" else aliases.get(name, name)
        cases.add("activations", f"keras2_{name}", image=(1, 4, 7, 5), filters=8, activation=name, exact=(own, {}), version="keras2",
                  scale=scales.get(name, 1.0))  # fmt: skip
        function = {"class_name": "function", "config": name, "module": "builtins", "registered_name": "function"}
        cases.add("activations", f"keras2_{name}_object", image=(1, 4, 7, 5), filters=8, activation=function, exact=(own, {}),
                  version="keras2", scale=scales.get(name, 1.0))  # fmt: skip

    relus = [(None, 0.0, 0.0), (6.0, 0.0, 0.0), (1.5, 0.0, 0.0), (None, 0.25, 0.0), (None, 0.0, 0.75), (2.0, 0.125, 0.5), (None, 2.0, 1.0)]
    for i, (max_value, slope, threshold) in enumerate(relus):
        parameters = {"max_value": max_value, "negative_slope": slope, "threshold": threshold}
        add(f"ReLU_{i}", keras3_object("ReLU", **parameters), ("relu", parameters), scale=2.0)
        cases.add("activations", f"keras2_ReLU_{i}", image=(1, 5, 6, 4), filters=9, activation=keras2_object("ReLU", **parameters),
                  exact=("relu", parameters), version="keras2", scale=2.0)  # fmt: skip
    for slope in (0.3, 0.0625, 0.0, 1.5):
        exact = ("leaky_relu", {"negative_slope": slope})
        add(f"LeakyReLU_{slope:g}", keras3_object("LeakyReLU", negative_slope=slope), exact)
        cases.add("activations", f"keras2_LeakyReLU_{slope:g}", image=(1, 5, 6, 4), filters=9, version="keras2",
                  activation=keras2_object("LeakyReLU", alpha=slope), exact=exact)  # fmt: skip
    for version, make in (("keras3", keras3_object), ("keras2", keras2_object)):
        cases.add("activations", f"{version}_LeakyReLU_default", image=(1, 5, 6, 4), filters=9, version=version,
                  activation=make("LeakyReLU"), exact=("leaky_relu", {"negative_slope": 0.3}))  # fmt: skip
        cases.add("activations", f"{version}_ReLU_default", image=(1, 5, 6, 4), filters=9, version=version, activation=make("ReLU"),
                  exact=("relu", {}))  # fmt: skip
        for alpha in (1.0, 0.5, 2.0):
            cases.add("activations", f"{version}_ELU_{alpha:g}", image=(1, 5, 6, 4), filters=9, version=version,
                      activation=make("ELU", alpha=alpha), exact=("elu", {"alpha": alpha}))  # fmt: skip
        cases.add("activations", f"{version}_Softmax_default", image=(1, 5, 6, 4), filters=9, version=version,
                  activation=make("Softmax"), exact=("softmax", {}))  # fmt: skip
    for axis in (-1, 1, 2, 3, -2, -3, 0, -4, [1], [1, 2], [2, 3], [-1, -2], [1, 2, 3], [0, 3]):
        name = "_".join(str(a).replace("-", "minus_") for a in np.atleast_1d(axis)) + ("_list" if isinstance(axis, list) else "")
        exact = ("softmax", {"axis": axis})
        add(f"Softmax_{name}", keras3_object("Softmax", axis=axis), exact, scale=0.5)
        if axis in (1, -1, 2, [1, 2]):
            cases.add("activations", f"keras2_Softmax_{name}", image=(2, 5, 6, 4), filters=9, version="keras2",
                      activation=keras2_object("Softmax", axis=axis), exact=exact, scale=0.5)  # fmt: skip
    # Along the channels, in all the lengths that a vector meets.
    for name in ("softmax", "log_softmax", "sparsemax", "glu"):
        for filters in (1, 2, 3, 8, 15, 16, 17, 33, 64, 65):
            if name != "glu" or filters % 2 == 0:
                cases.add("activations", f"{name}_of_{filters}", image=(1, 3, 5, 4), filters=filters, activation=name, exact=(name, {}),
                          scale=scales.get(name, 1.0))  # fmt: skip
    # Sums large enough that exp overflows without the usual care.
    for name in ("softmax", "log_softmax", "sigmoid", "tanh", "softplus", "silu", "mish", "log_sigmoid", "gelu", "elu", "selu", "celu"):
        cases.add("activations", f"{name}_of_large_sums", image=(1, 4, 6, 5), filters=8, activation=name, exact=(name, {}), scale=64.0)
    # With weights and epilogue over several panels.
    for name in ("relu", "relu6", "sigmoid", "gelu", "hard_silu", "softmax"):
        for fmt in FORMATS:
            cases.add("activations", f"{name}_24_to_40_{fmt}", image=(1, 6, 9, 24), filters=40, strides=2, padding="same", fmt=fmt,
                      activation=name, exact=(name, {}), scale=0.25)  # fmt: skip


def configs(cases):
    """Whole configs, as get_config() gives them."""
    for i, version in enumerate(("keras3", "keras2")):
        for fmt in FORMATS[: 2 - i]:
            for padding in PADDINGS:
                cases.add("configs", f"{version}_{padding}_{fmt}", image=(1, 6, 7, 3), filters=5, padding=padding, fmt=fmt,
                          multiplier=2, full=True, version=version)  # fmt: skip
                cases.add("configs", f"{version}_{padding}_{fmt}_no_bias", image=(1, 6, 7, 3), filters=5, padding=padding, fmt=fmt,
                          kernel_size=(2, 3), use_bias=False, full=True, version=version)  # fmt: skip
        cases.add("configs", f"{version}_strides", image=(1, 7, 6, 3), filters=4, strides=2, padding="same", full=True,
                  version=version)  # fmt: skip
        cases.add("configs", f"{version}_dilation", image=(1, 9, 9, 3), filters=4, dilation_rate=(2, 3), full=True,
                  version=version)  # fmt: skip


def special(cases):
    """Infinities and NaN in the image: they reach the outputs whose window holds them, and no others."""
    infinity, nan = np.inf, np.nan
    places = {
        "infinity": [((0, 3, 4, 1), infinity)],
        "minus_infinity": [((0, 0, 0, 0), -infinity)],
        "nan": [((0, 5, 2, 2), nan)],
        "nan_in_the_corner": [((0, 6, 8, 0), nan)],
        "infinities_of_both_signs": [((0, 1, 1, 0), infinity), ((0, 2, 2, 0), -infinity), ((0, 5, 7, 2), infinity)],
    }
    relu_objects = {
        "relu_slope": keras3_object("ReLU", max_value=None, negative_slope=0.25, threshold=0.0),
        "relu_max_value": keras3_object("ReLU", max_value=1.5, negative_slope=0.0, threshold=0.0),
    }
    for i, (place, values) in enumerate(places.items()):
        for activation in ("linear", "relu", "relu6", "leaky_relu", "relu_slope", "relu_max_value"):
            fmt = FORMATS[i % 2]
            cases.add("special", f"{place}_{activation}", image=(1, 7, 9, 3), filters=6 if i % 2 == 0 else 17, padding=PADDINGS[i % 2],
                      fmt=fmt, activation=relu_objects.get(activation, activation), special=values)  # fmt: skip
        for fmt in FORMATS:
            cases.add("special", f"{place}_stride_2_{fmt}", image=(1, 7, 9, 3), filters=4, strides=2, padding="same", fmt=fmt,
                      special=values)  # fmt: skip
            cases.add("special", f"{place}_dilation_2_multiplier_2_{fmt}", image=(1, 7, 9, 3), filters=4, dilation_rate=2, multiplier=2,
                      padding="same", fmt=fmt, special=values, use_bias=False)  # fmt: skip


def large(cases):
    for name, arguments in {
        "30x30x70": {"image": (1, 30, 30, 70), "filters": 24, "padding": "same"},
        "30x30x70_first": {"image": (1, 30, 30, 70), "filters": 24, "padding": "same", "fmt": "channels_first"},
        "28x31x40_stride_2": {"image": (1, 28, 31, 40), "filters": 96, "strides": 2, "padding": "same"},
        "20x20x96_to_130": {"image": (1, 20, 20, 96), "filters": 130, "strides": 3, "kernel_size": 5},
        "60x50x8_to_16": {"image": (2, 60, 50, 8), "filters": 8, "padding": "same", "denominator": 2},
        "10x10x300_to_20": {"image": (1, 10, 10, 300), "filters": 20},
        "6x6x20_to_500": {"image": (1, 6, 6, 20), "filters": 500, "fmt": "channels_first"},
        "100x90x3_to_4": {"image": (1, 100, 90, 3), "filters": 4, "strides": 2, "padding": "same"},
    }.items():
        cases.add("large", name, activation="relu", exact=("relu", {}), **{"denominator": 4, **arguments})


def mixed(cases):
    """Every argument drawn at random together, with values of full precision too."""
    elementwise = ("linear", "relu", "relu6", "sigmoid", "silu", "gelu", "leaky_relu", "elu", "tanh", "hard_silu")
    random = np.random.default_rng(77)
    for i in range(160):
        size = [int(s) for s in random.choice((1, 2, 3, 3, 3, 4, 5, 7), 2)]
        stride = int(random.choice((1, 1, 1, 2, 2, 3, 4)))
        rate = [int(r) for r in random.choice((1, 2, 3, 6), 2)] if stride == 1 and random.random() < 0.4 else [1, 1]
        padding = PADDINGS[random.integers(2)]
        extent = [int(e) for e in random.integers(1, 15, 2)]
        if padding == "valid":
            extent = [e + (k - 1) * d for e, k, d in zip(extent, size, rate)]
        strides_ = [stride, stride] if random.random() < 0.85 else [stride, stride % 4 + 1]
        if strides_ != [1, 1]:
            rate = [1, 1]
        activation = str(random.choice(elementwise))
        cases.add("mixed", f"{i:03}", image=(int(random.choice((1, 1, 2, 3))), *extent, int(random.integers(1, 36))),
                  filters=int(random.integers(1, 40)), kernel_size=size, strides=strides_, dilation_rate=rate, padding=padding,
                  fmt=FORMATS[random.integers(2)], multiplier=int(random.choice((1, 1, 1, 2, 3, 4))),
                  use_bias=bool(random.integers(2)), activation=activation, exact=(activation, {}), scale=0.5,
                  denominator=int(random.choice((8, 64, 5000))))  # fmt: skip


def float16(cases):
    """Half precision: every kind of geometry and every family of activations, in both data formats."""
    shapes = {
        "3x3_8_to_16": {"image": (2, 7, 9, 8), "filters": 16},
        "3x3_valid_3_to_7": {"image": (1, 8, 10, 3), "filters": 7, "padding": "valid"},
        "stride_2_17_to_5": {"image": (1, 9, 11, 17), "filters": 5, "strides": 2},
        "stride_2_even_6_to_12": {"image": (1, 8, 10, 6), "filters": 12, "strides": 2},
        "stride_3_5x5_valid_12_to_24": {"image": (1, 13, 15, 12), "filters": 24, "strides": 3, "kernel_size": 5, "padding": "valid"},
        "dilation_2_5_to_9": {"image": (1, 8, 12, 5), "filters": 9, "dilation_rate": 2},
        "dilation_3x2_valid_4_to_6": {"image": (1, 9, 11, 4), "filters": 6, "dilation_rate": (3, 2), "padding": "valid"},
        "times_2_4_to_10": {"image": (1, 6, 7, 4), "filters": 10, "multiplier": 2},
        "times_3_stride_2_3_to_8": {"image": (1, 9, 7, 3), "filters": 8, "multiplier": 3, "strides": 2},
        "1x1_31_to_33": {"image": (1, 5, 6, 31), "filters": 33, "kernel_size": 1},
        "5x5_16_to_15": {"image": (1, 8, 9, 16), "filters": 15, "kernel_size": 5},
        "1x7_6_to_11": {"image": (1, 4, 13, 6), "filters": 11, "kernel_size": (1, 7)},
        "2x2_valid_no_bias_9_to_4": {"image": (3, 5, 6, 9), "filters": 4, "kernel_size": 2, "padding": "valid", "use_bias": False},
        "1_to_1": {"image": (1, 6, 33, 1), "filters": 1},
        "96_to_40": {"image": (1, 6, 7, 96), "filters": 40},
    }
    for name, arguments in shapes.items():
        for fmt in FORMATS:
            cases.add_half(f"{name}_{fmt}", fmt=fmt, activation="relu" if len(name) % 2 else "linear", **arguments)
    # Filters beyond one vector, and an even extent of every axis, for glu.
    for activation in ("relu", "relu6", "leaky_relu", "elu", "gelu", "silu", "tanh", "sigmoid", "hard_sigmoid", "softmax", "glu"):
        for fmt in FORMATS:
            cases.add_half(f"{activation}_{fmt}", image=(1, 6, 8, 10), filters=18, fmt=fmt, activation=activation,
                           dtype="mixed_float16" if activation in ("relu", "gelu", "softmax") else "float16")  # fmt: skip
    for fmt in FORMATS:
        cases.add_half(f"mixed_stride_2_20_to_12_{fmt}", image=(1, 8, 9, 20), filters=12, strides=2, fmt=fmt, dtype="mixed_float16")
        # Near 2^-14, where float16 loses precision.
        cases.add_half(f"small_{fmt}", image=(1, 5, 6, 8), filters=9, fmt=fmt, scale=2.0**-14)
    for dtype in ("float16", "mixed_float16"):
        cases.add_half(f"keras2_{dtype}", image=(1, 7, 9, 5), filters=8, activation="hard_sigmoid", exact=("hard_sigmoid_keras2", {}),
                       version="keras2", dtype=dtype)  # fmt: skip
        cases.add_half(f"keras2_{dtype}_stride_2", image=(1, 7, 9, 6), filters=7, strides=2, version="keras2", dtype=dtype)


def main():
    cases = Cases()
    for group in (kernels, strides, dilation, channels, extents, activations, configs, special, large, mixed, float16):
        before = len(cases.index)
        group(cases)
        print(f"{group.__name__}: {len(cases.index) - before} cases", flush=True)
    cases.write()
    sources = [entry["source"] for entry in cases.index]
    print(f"{len(sources)} cases, {sources.count('keras')} from Keras, {sources.count('float64')} from the float64 sum")
    print(f"Keras in float16 is up to {cases.largest_half_difference:.2g} of the largest result away from Keras in float64")


if __name__ == "__main__":
    main()
