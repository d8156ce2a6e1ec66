"""Writes shapes/: configs of whole models as JSON, as Keras 2 (tf_keras) and Keras 3 write them, and the shape that reaches each
SeparableConv2D in them and in the files of models/.

    python tests/golden/make_shapes.py

shapes.json has for each file a list of calls: the model's input, null for the one that it stores, and for each layer (named as in
models.json) the shape that it was called with, null for an open extent; a list of shapes where a shared layer was called with several.
layers.json has single layers: the config, the shapes of the inputs, and that of the output.

The shapes are those that TensorFlow finds while it traces the call, twice, with other numbers for what is open: what then differs is
open.

What the walk over a config does not need (initialisers, dtypes, and the shapes that Keras stores beside each layer, which would tell the
answer) is left out of the configs.
"""

import functools
import json
import os
import shutil
from pathlib import Path

os.environ["CUDA_VISIBLE_DEVICES"] = ""
os.environ["TF_CPP_MIN_LOG_LEVEL"] = "3"

import keras  # noqa: E402
import tensorflow as tf  # noqa: E402
import tf_keras  # noqa: E402
from keras.src.applications import efficientnet as efficientnet3  # noqa: E402
from keras.src.applications import nasnet as nasnet3  # noqa: E402
from tf_keras.src.applications import efficientnet as efficientnet2  # noqa: E402
from tf_keras.src.applications import nasnet as nasnet2  # noqa: E402

from make_models import MODELS, separable_layers  # noqa: E402

SHAPES = Path(__file__).parent / "shapes"
LEFT_OUT = ("_initializer", "_regularizer", "_constraint", "dtype", "trainable", "build_config", "compile_config",
            "quantization_config")  # fmt: skip


# What shape is each separable convolution called with?


CALLS = {}  # the shapes that each layer was called with, by its id


def noting(call):
    """SeparableConv2D.call of either Keras, made to note the static shape of its input."""

    @functools.wraps(call)
    def noted(self, inputs):
        CALLS.setdefault(id(self), []).append(tf.TensorShape(inputs.shape).as_list())
        return call(self, inputs)

    return noted


for cls in (keras.layers.SeparableConv2D, tf_keras.layers.SeparableConv2D):
    cls.call = noting(cls.call)


def closed(shape, number):
    """The shape with numbers for what is open."""
    return [(2 + number if axis == 0 else 96 + 64 * number + 8 * axis) if n is None else n for axis, n in enumerate(shape)]


def merged(first, second):
    """What two calls with other numbers have in common."""
    if len(first) != len(second):
        raise RuntimeError(f"expected two shapes of as many dimensions, found {first} and {second}")
    return [a if a == b else None for a, b in zip(first, second)]


def traced(call, shapes, number):
    """The shape of what a function makes of tensors."""
    specs = [tf.TensorSpec(closed(shape, number)) for shape in shapes]
    return tf.function(call).get_concrete_function(*specs).output_shapes


def shapes_in(model):
    """Name to shape."""
    seen = []
    for number in (0, 1):
        CALLS.clear()
        traced(lambda *images: model(images[0] if len(images) == 1 else list(images)), [i.shape for i in model.inputs], number)
        seen.append({name: CALLS[id(layer)] for name, layer in separable_layers(model)})
    found = {}
    for name, calls in seen[0].items():
        shapes = []
        for first, second in zip(calls, seen[1][name], strict=True):
            shape = merged(first, second)
            if shape not in shapes:
                shapes.append(shape)
        found[name] = shapes[0] if len(shapes) == 1 else shapes
    return found


# Models. Each is made by either Keras for the shape of its input.


def sep(lib, name, filters=4, kernel=1, **given):
    return lib.layers.SeparableConv2D(filters, kernel, name=name, **given)


def branches(lib, shape):
    """Windows of every kind, and branches that meet again."""
    L = lib.layers
    image = lib.Input(batch_shape=shape)
    stem = L.Conv2D(6, 7, strides=2, padding="same", name="stem")(image)
    a = sep(lib, "after_stem", 6, 3, strides=(2, 1), padding="same")(L.LeakyReLU()(stem))
    b = L.MaxPooling2D((3, 2), strides=(2, 1), padding="same")(stem)
    joined = L.Concatenate()([a, b])
    x = sep(lib, "after_concatenate", 8, 3, dilation_rate=(2, 3))(joined)
    y = L.DepthwiseConv2D(3, depth_multiplier=2, dilation_rate=2, padding="valid")(L.Cropping2D(((0, 0), (1, 1)))(joined))
    y = sep(lib, "after_depthwise", 8, 1)(y)
    # Windows of dilation 2 and 3 take four columns and six, so that the two branches have as many again.
    z = L.Add()([x, y])
    z = L.AveragePooling2D((2, 3), strides=None)(z)
    z = sep(lib, "after_pooling")(z)
    z = L.UpSampling2D((3, 2))(z)
    z = L.Conv2DTranspose(5, 3, strides=2, padding="valid")(z)
    z = sep(lib, "after_transpose_valid")(z)
    z = L.Conv2DTranspose(5, (2, 5), strides=(3, 2), padding="same")(z)
    z = L.ZeroPadding2D(((1, 2), (0, 3)))(z)
    z = sep(lib, "after_transpose_same")(z)
    gate = L.Multiply()([z, L.Reshape((1, 1, 4))(L.GlobalAveragePooling2D()(z))])
    out = L.Maximum()([gate, L.GlobalMaxPooling2D(keepdims=True)(z)])
    out = L.Subtract()([out, z])
    return lib.Model(image, [sep(lib, "after_gate")(out), y])


def channels_first(lib, shape):
    L = lib.layers
    first = {"data_format": "channels_first"}
    image = lib.Input(batch_shape=shape)
    x = L.ZeroPadding2D(((1, 0), (2, 3)), **first)(image)
    x = sep(lib, "after_padding", 6, 3, strides=2, padding="same", **first)(x)
    x = L.MaxPooling2D(2, padding="same", **first)(L.BatchNormalization(axis=1)(x))
    x = sep(lib, "after_pooling", 6, (2, 3), **first)(x)
    x = L.UpSampling2D((2, 3), **first)(x)
    x = L.Concatenate(axis=1)([x, L.ReLU()(x)])
    x = sep(lib, "after_up_sampling", 8, 1, **first)(x)
    x = L.Cropping2D(((1, 0), (1, 1)), **first)(x)
    x = L.Conv2DTranspose(3, 2, strides=2, **first)(x)
    x = sep(lib, "after_transpose", 3, 1, **first)(x)
    x = L.Permute((2, 3, 1))(x)
    return lib.Model(image, sep(lib, "after_permute")(x))


def other_ranks(lib, shape):
    """By way of sequences, vectors and volumes to images and back."""
    L = lib.layers
    image = lib.Input(batch_shape=shape)
    _, height, width, channels = shape
    x = L.Reshape((height * width, channels))(image)
    x = L.Conv1D(6, 3, padding="causal", dilation_rate=2)(x)
    x = L.ZeroPadding1D((1, 2))(L.Cropping1D((2, 1))(x))
    x = L.SeparableConv1D(8, 3, padding="same")(x)
    x = L.MaxPooling1D(2, strides=1, padding="same")(x)
    x = L.UpSampling1D(2)(x)
    x = L.AveragePooling1D(2)(x)
    x = sep(lib, "after_sequence")(L.Reshape((height, -1, 8))(x))
    v = L.Reshape((2, height // 2, width, 4))(x)
    v = L.Conv3D(4, (1, 2, 3), padding="same", strides=(1, 2, 1))(v)
    v = L.MaxPooling3D((2, 1, 1))(L.ZeroPadding3D((0, 1, 0))(v))
    v = L.UpSampling3D((1, 1, 2))(v)
    v = L.Conv3DTranspose(3, 1, strides=(2, 1, 1))(v)
    v = L.Cropping3D(((1, 0), (0, 0), (0, 0)))(v)
    v = sep(lib, "after_volume")(L.Reshape((-1, 2 * width, 3))(v))
    f = L.Dense(12, activation="relu")(L.Flatten()(v))
    f = L.RepeatVector(5)(L.Dropout(0.5)(f))
    f = L.LSTM(6, return_sequences=True)(f)
    f = L.Bidirectional(L.GRU(4, return_sequences=True))(f)
    f = L.Attention()([L.MultiHeadAttention(2, 3)(f, f), f])
    f = L.LayerNormalization()(f)
    f = sep(lib, "after_attention")(L.Reshape((5, 4, 2))(f))
    d = L.Dot(axes=(2, 1))([L.Reshape((5, 16))(f), L.Reshape((16, 5))(f)])
    d = L.EinsumDense("abc,cd->abd", output_shape=(5, 10), bias_axes="d")(d)
    d = sep(lib, "after_dot")(L.Reshape((5, 5, -1))(d))
    m = L.GlobalMaxPooling1D()(L.SimpleRNN(3, return_sequences=True)(L.Reshape((25, 4))(d)))
    m = L.Embedding(7, 6)(L.Reshape((3, 1))(m))
    return lib.Model(image, sep(lib, "after_embedding")(m))


def preprocessing(lib, shape):
    L = lib.layers
    image = lib.Input(batch_shape=shape)
    x = L.Rescaling(1 / 255)(image)
    x = L.Normalization(mean=[0.5] * shape[3], variance=[0.25] * shape[3])(x)
    x = L.RandomRotation(0.1)(L.RandomFlip()(x))
    x = sep(lib, "after_augmentation", 3)(x)
    x = sep(lib, "after_resizing", 3)(L.Resizing(20, 24)(x))
    x = sep(lib, "after_crop", 3)(L.CenterCrop(16, 18)(x))
    x = L.GaussianNoise(0.1)(L.SpatialDropout2D(0.1)(L.PReLU(shared_axes=[1, 2])(x)))
    x = L.Softmax()(L.UnitNormalization()(L.GroupNormalization(3)(L.ELU()(x))))
    return lib.Model(image, sep(lib, "after_normalisation")(x))


def nested(lib, shape):
    """Models inside models, one of them called twice, and wrappers."""
    L = lib.layers
    channels = shape[-1]
    deep = lib.Sequential([lib.Input((None, None, 6)), sep(lib, "block", 4, 3, padding="same"), L.MaxPooling2D()], name="deep")
    inner_image = lib.Input((None, None, channels))
    y = sep(lib, "block", 6, 3, strides=2)(inner_image)
    inner = lib.Model(inner_image, [deep(y), sep(lib, "side", 2)(y)], name="inner")
    late = lib.Sequential([sep(lib, "block", 5, 3), L.ReLU()], name="late")
    image = lib.Input(batch_shape=shape)
    main, side = inner(image)
    x = late(L.UpSampling2D(4)(main))
    side = sep(lib, "side", 3)(side)
    frames = L.Reshape((1, 4, 4, 5) if None not in shape[1:] else (1, 4, -1, 5))(L.Resizing(4, 4)(x))
    frames = L.TimeDistributed(sep(lib, "each", 4, 3, padding="same"), name="distributed")(frames)
    return lib.Model(image, [side, frames])


def shared(lib, shape):
    """Layers and models that are called again."""
    L = lib.layers
    image = lib.Input(batch_shape=shape)
    same, differing, channels = sep(lib, "same", 3), sep(lib, "differing", 3, 3), shape[-1]
    part = lib.Sequential([lib.Input((None, None, channels)), sep(lib, "block", channels)], name="part")
    inner_image = lib.Input((None, None, channels))
    graph = lib.Model(inner_image, sep(lib, "block", channels, padding="same")(inner_image), name="graph")
    x = same(same(image))
    x = differing(differing(x))
    x = graph(graph(graph(x)))
    x = part(part(x))
    return lib.Model(image, sep(lib, "last")(L.AveragePooling2D(2)(x)))


def two_inputs(lib, shape):
    L = lib.layers
    large, small = lib.Input(batch_shape=shape, name="large"), lib.Input((8, 5), name="small")
    x = L.MaxPooling2D(2)(sep(lib, "large_block")(large))
    y = L.Reshape((8, 1, 5))(small)
    return lib.Model([large, small], [sep(lib, "small_block")(y), sep(lib, "pooled")(x)])


def keras_operations(lib, shape):
    ops = lib.ops
    image = lib.Input(batch_shape=shape)
    x = sep(lib, "first")(image) * 2.0 + 1.0
    x = sep(lib, "after_arithmetic")(ops.relu6(x + 3.0) / 6.0 * x)
    gate = ops.sigmoid(ops.mean(x, axis=[1, 2], keepdims=True))
    x = sep(lib, "after_gate")(1.0 - gate * x)
    x = sep(lib, "after_pad")(ops.pad(x, [[0, 0], [1, 2], [3, 0], [0, 0]]))
    x = ops.concatenate([x, ops.maximum(x, 0.5)], axis=-1)
    x = sep(lib, "after_concatenate")(x)
    v = ops.expand_dims(ops.expand_dims(ops.max(x, axis=(1, 2)), 1), 1)
    x = sep(lib, "after_transpose")(ops.transpose(x + v, [0, 2, 1, 3]))
    return lib.Model(image, sep(lib, "after_reshape")(ops.reshape(x, (-1, 1, 2, 2))))


def tensorflow_functions(lib, shape):
    image = lib.Input(batch_shape=shape)
    x = sep(lib, "first")(image) * 2.0 + 1.0
    x = sep(lib, "after_arithmetic")(tf.nn.relu6(x + 3.0) / 6.0 * x)
    gate = tf.sigmoid(tf.reduce_mean(x, axis=[1, 2], keepdims=True))
    x = sep(lib, "after_gate")(1.0 - gate * x)
    x = sep(lib, "after_pad")(tf.pad(x, [[0, 0], [1, 2], [3, 0], [0, 0]]))
    x = tf.concat([x, tf.maximum(x, 0.5)], -1)
    x = sep(lib, "after_concatenate")(x)
    v = tf.expand_dims(tf.expand_dims(tf.reduce_max(x, axis=[1, 2]), 1), 1)
    x = sep(lib, "after_transpose")(tf.transpose(x + v, [0, 2, 1, 3]))
    x = sep(lib, "after_resize")(tf.image.resize(x, [8, 10]))
    return lib.Model(image, sep(lib, "after_reshape")(tf.reshape(x, (-1, 1, 2, 2))))


def probed(lib, model):
    """The model with a separable convolution behind every eighth of its images, since it has none, or few, of its own."""
    images = [layer.output for layer in model.layers if len(getattr(layer.output, "shape", ())) == 4]
    return lib.Model(model.input, [sep(lib, f"probe_{i:02}", 1)(image) for i, image in enumerate(images[7::8])])


def xception(lib, shape):
    return lib.applications.Xception(include_top=False, weights=None, input_shape=shape[1:])


def mobilenet_v2(lib, shape):
    return probed(lib, lib.applications.MobileNetV2(include_top=False, weights=None, input_shape=shape[1:], alpha=0.35))


def mobilenet_v3(lib, shape):
    return probed(lib, lib.applications.MobileNetV3Small(include_top=False, weights=None, input_shape=shape[1:]))


def efficientnet(lib, shape):
    source = efficientnet3 if lib is keras else efficientnet2
    return probed(lib, source.EfficientNet(1.0, 0.3, 64, weights=None, include_top=False, input_shape=shape[1:]))


def nasnet(lib, shape):
    source = nasnet3 if lib is keras else nasnet2
    return source.NASNet(shape[1:], penultimate_filters=96, num_blocks=1, stem_block_filters=8, skip_reduction=False,
                         include_top=False, weights=None, default_size=64)  # fmt: skip


# The shape that the model stores, and others that it is given. Some of Keras' applications pad by the parity of the image, so that their
# layers are the same only for sizes that have it in common.
CASES = [
    (branches, [(None, 64, 71, 3), (2, 96, 80, 3), (None, None, 64, 3), (None, None, None, 3)], (keras, tf_keras)),
    (channels_first, [(None, 3, 21, 26), (4, 3, 40, 33), (1, 3, None, 26)], (keras, tf_keras)),
    (other_ranks, [(None, 6, 7, 4), (3, 6, 7, 4)], (keras, tf_keras)),
    (preprocessing, [(None, 33, 40, 3), (1, None, None, 3)], (keras, tf_keras)),
    (nested, [(None, 24, 30, 3), (1, 40, 24, 3)], (keras, tf_keras)),
    (shared, [(None, 14, 15, 3), (None, None, 15, 3)], (keras, tf_keras)),
    (two_inputs, [(None, 14, 15, 3)], (keras, tf_keras)),
    (keras_operations, [(None, 16, 12, 3), (5, 20, 24, 3), (None, None, None, 3)], (keras,)),
    (tensorflow_functions, [(None, 16, 12, 3), (5, 20, 24, 3), (None, None, None, 3)], (tf_keras,)),
    (xception, [(None, 299, 299, 3), (None, 160, 97, 3), (None, None, None, 3)], (keras, tf_keras)),
    (mobilenet_v2, [(None, 96, 96, 3), (None, 224, 160, 3)], (keras,)),
    (mobilenet_v3, [(None, 224, 224, 3), (None, 128, 160, 3)], (keras, tf_keras)),
    (efficientnet, [(None, 64, 64, 3), (None, 128, 192, 3)], (keras, tf_keras)),
    (nasnet, [(None, 64, 64, 3), (None, 128, 224, 3)], (tf_keras,)),
]


IMAGE, FIRST, SEQUENCE, VOLUME = (None, None, 24, 6), (None, 6, None, 24), (None, 17, 6), (None, 5, None, 8, 6)
BOTH = (keras, tf_keras)

# Single layers: what the models above have not, in the words of the constructor.
LAYERS = [
    ("Conv1D", {"filters": 3, "kernel_size": 4, "strides": 2}, [SEQUENCE], BOTH),
    ("Conv1DTranspose", {"filters": 3, "kernel_size": 2, "strides": 5}, [SEQUENCE], BOTH),
    ("Conv1DTranspose", {"filters": 3, "kernel_size": 4, "strides": 3, "padding": "same"}, [SEQUENCE], BOTH),
    ("Conv2DTranspose", {"filters": 3, "kernel_size": 4, "strides": 3, "output_padding": 1}, [IMAGE], BOTH),
    ("Conv2DTranspose", {"filters": 3, "kernel_size": (4, 3), "strides": 2, "padding": "same"}, [IMAGE], BOTH),
    ("Conv2DTranspose", {"filters": 3, "kernel_size": 3, "dilation_rate": 2}, [IMAGE], BOTH),
    ("Conv3DTranspose", {"filters": 3, "kernel_size": 3, "strides": (1, 2, 3)}, [VOLUME], BOTH),
    ("DepthwiseConv1D", {"kernel_size": 3, "depth_multiplier": 2, "padding": "same"}, [SEQUENCE], BOTH),
    ("DepthwiseConv2D", {"kernel_size": 3, "data_format": "channels_first"}, [FIRST], (keras,)),
    ("SeparableConv1D", {"filters": 3, "kernel_size": 3, "strides": 2}, [SEQUENCE], BOTH),
    ("LocallyConnected1D", {"filters": 3, "kernel_size": 4, "strides": 2}, [SEQUENCE], (tf_keras,)),
    ("LocallyConnected2D", {"filters": 3, "kernel_size": 2}, [(None, 7, 8, 3)], (tf_keras,)),
    ("MaxPooling1D", {"pool_size": 3}, [SEQUENCE], BOTH),
    ("MaxPooling1D", {"pool_size": 3, "strides": 2, "padding": "same", "data_format": "channels_first"}, [(None, 6, 17)], (keras,)),
    ("AveragePooling1D", {"pool_size": 3, "strides": 1}, [SEQUENCE], BOTH),
    ("AveragePooling3D", {"pool_size": (2, 3, 1)}, [VOLUME], BOTH),
    ("GlobalMaxPooling3D", {}, [VOLUME], BOTH),
    ("GlobalAveragePooling1D", {"keepdims": True}, [SEQUENCE], BOTH),
    ("GlobalAveragePooling1D", {"data_format": "channels_first"}, [SEQUENCE], BOTH),
    ("GlobalAveragePooling2D", {"data_format": "channels_first", "keepdims": True}, [FIRST], BOTH),
    ("GlobalAveragePooling3D", {"keepdims": True}, [VOLUME], BOTH),
    *((f"Adaptive{kind}Pooling{n}D", {"output_size": [3, 2, 4][:n]}, [shape], (keras,))
      for kind in ("Max", "Average") for n, shape in ((1, SEQUENCE), (2, (None, 12, 24, 6)), (3, (None, 6, 4, 8, 6)))),
    ("ZeroPadding1D", {"padding": 2}, [SEQUENCE], BOTH),
    ("ZeroPadding2D", {"padding": (1, 2)}, [IMAGE], BOTH),
    ("ZeroPadding3D", {"padding": ((1, 0), (2, 2), (0, 3)), "data_format": "channels_first"}, [(None, 2, 3, None, 5)], BOTH),
    ("Cropping1D", {"cropping": 2}, [SEQUENCE], BOTH),
    ("Cropping3D", {"cropping": (1, 2, 3)}, [VOLUME], BOTH),
    ("UpSampling3D", {"size": 2, "data_format": "channels_first"}, [(None, 2, 3, None, 5)], BOTH),
    ("Resizing", {"height": 5, "width": 7, "data_format": "channels_first"}, [FIRST], (keras,)),
    ("RandomCrop", {"height": 5, "width": 7}, [(None, 9, 24, 3)], BOTH),
    ("Concatenate", {"axis": 1}, [IMAGE, (None, 3, 24, 6), (None, 4, 24, 6)], BOTH),
    ("Concatenate", {"axis": 2}, [(None, 3, 5, 6), (None, 3, 4, 6)], BOTH),
    ("Average", {}, [(None, 5, 1), (None, 1, 6), (None, 5, 6)], BOTH),
    ("Minimum", {}, [(None, 4, 5, 6), (None, 6)], BOTH),
    ("Dot", {"axes": -1}, [(None, 3, 4), (None, 5, 4)], BOTH),
    ("Dot", {"axes": 1}, [(None, 4), (None, 4)], BOTH),
    ("EinsumDense", {"equation": "...x,xy->...y", "output_shape": 5}, [(None, None, 3, 6)], BOTH),
    ("EinsumDense", {"equation": "ab...,bc->ac...", "output_shape": 5}, [(None, 4, 3, 6)], BOTH),
    ("Reshape", {"target_shape": (-1, 12)}, [(None, None, 24)], BOTH),
    ("Permute", {"dims": (3, 1, 2)}, [IMAGE], BOTH),
    ("LSTM", {"units": 3}, [SEQUENCE], BOTH),
    ("ConvLSTM1D", {"filters": 3, "kernel_size": 3}, [(None, 4, 9, 3)], BOTH),
    ("ConvLSTM2D", {"filters": 3, "kernel_size": 3, "padding": "same", "strides": 2, "return_sequences": True}, [(None, None, 9, 8, 6)], BOTH),
    ("ConvLSTM3D", {"filters": 3, "kernel_size": 2}, [(None, 4, 5, 6, 7, 3)], BOTH),
    ("AdditiveAttention", {}, [(None, 5, 4), (None, 7, 4)], BOTH),
    ("Attention", {}, [(None, 5, 4), (None, 7, 9), (None, 7, 4)], BOTH),
    ("MultiHeadAttention", {"num_heads": 2, "key_dim": 3, "output_shape": 7}, [(None, 5, 4), (None, 7, 9)], BOTH),
    ("GroupQueryAttention", {"head_dim": 2, "num_query_heads": 4, "num_key_value_heads": 2}, [(None, 5, 4), (None, 7, 4)], (keras,)),
    ("ThresholdedReLU", {}, [IMAGE], (tf_keras,)),
    ("Activation", {"activation": "relu"}, [IMAGE], BOTH),
    *((name, {"rate": 0.2}, [IMAGE], BOTH) for name in ("AlphaDropout", "GaussianDropout")),
    *((name, {}, [IMAGE], BOTH) for name in ("Masking", "Identity", "ActivityRegularization")),
    *((name, {"factor": 0.2}, [(None, 16, 24, 3)], BOTH) for name in ("RandomBrightness", "RandomContrast", "RandomRotation")),
    *((name, {"factor": 0.2}, [(None, 16, 24, 3)], (keras,))
      for name in ("RandomHue", "RandomSaturation", "RandomGrayscale", "RandomInvert", "RandomSharpness", "RandomErasing",
                   "RandomColorDegeneration", "RandomGaussianBlur", "RandomPerspective", "RandomElasticTransform")),
    *((name, {}, [(None, 16, 24, 3)], (keras,))
      for name in ("AugMix", "AutoContrast", "Equalization", "RandAugment", "RandomColorJitter", "RandomShear", "Solarization",
                   "RMSNormalization", "ContrastLimitedAdaptiveHistogramEqualization")),
    ("RandomPosterization", {"factor": 3}, [(None, 16, 24, 3)], (keras,)),
    ("RandomTranslation", {"height_factor": 0.2, "width_factor": 0.3}, [(None, 16, 24, 3)], BOTH),
    ("RandomZoom", {"height_factor": 0.2}, [(None, 16, 24, 3)], BOTH),
]  # fmt: skip


def single_layers():
    for name, given, inputs, libs in LAYERS:
        for lib in libs:
            layer = getattr(lib.layers, name)(**given)
            separately = name.endswith(("HeadAttention", "QueryAttention"))

            def call(*tensors, layer=layer, separately=separately):
                return layer(*tensors) if separately or len(tensors) == 1 else layer(list(tensors))

            call(*(lib.Input(batch_shape=shape) for shape in inputs))  # which builds it
            outputs = [traced(call, inputs, number) for number in (0, 1)]
            shape = merged(*(output.as_list() for output in outputs))
            config = without_answers(json.loads(json.dumps(lib.saving.serialize_keras_object(layer))))
            yield {"keras": lib.__name__, "layer": config, "inputs": inputs, "output": shape}


def without_answers(value):
    """The config without what the walk does not need."""
    if isinstance(value, dict):
        return {key: without_answers(item) for key, item in value.items() if not key.endswith(LEFT_OUT)}
    return [without_answers(item) for item in value] if isinstance(value, list) else value


def configs_of(model):
    layers = json.loads(model.to_json())["config"]["layers"]
    return [without_names(layer["config"]) for layer in layers if layer["class_name"] != "InputLayer"]


def without_names(value):
    """The config without what Keras counts up from model to model, and without the shapes of tensors."""
    if isinstance(value, dict):
        left_out = ("name", "keras_history", "shape", "batch_shape", "batch_input_shape", "inbound_nodes", "input_layers", "output_layers",
                    "build_config", "build_input_shape", "query_shape", "key_shape", "value_shape")  # fmt: skip
        return {key: without_names(item) for key, item in value.items() if key not in left_out}
    return [without_names(item) for item in value] if isinstance(value, list) else value


def write_config(file, model):
    """A line for each layer of the outermost model."""
    config = without_answers(json.loads(model.to_json()))
    layers = config["config"].pop("layers")
    lines = ",\n".join(json.dumps(layer, separators=(",", ":")) for layer in layers)
    config["config"]["layers"] = "LAYERS"
    (SHAPES / file).write_text(json.dumps(config, separators=(",", ":")).replace('"LAYERS"', f"[\n{lines}]") + "\n")


def of_saved_models():
    """The files of models/ as Keras reads them."""
    manifest = json.loads((MODELS / "models.json").read_text())
    for file, facts in manifest.items():
        lib = keras if facts["keras"] == "keras3" else tf_keras
        if file.endswith(".json"):
            model = lib.models.model_from_json((MODELS / file).read_text())
        else:
            model = lib.models.load_model(MODELS / file, compile=False)
        yield file, [{"input": None, "layers": shapes_in(model)}]


def main():
    shutil.rmtree(SHAPES, ignore_errors=True)
    SHAPES.mkdir()
    manifest = {"models/" + file: calls for file, calls in of_saved_models()}
    for make, inputs, libs in CASES:
        for lib in libs:
            stored, *given = inputs
            lib.backend.clear_session()
            model = make(lib, stored)
            file = f"{make.__name__}.{'keras3' if lib is keras else 'keras2'}.json"
            write_config(file, model)
            calls = [{"input": None, "layers": shapes_in(model)}]
            for shape in given:
                other = make(lib, shape)
                if configs_of(other) != configs_of(model):
                    raise RuntimeError(f"{file}: expected the same layers for {shape}")
                calls.append({"input": shape, "layers": shapes_in(other)})
            manifest["shapes/" + file] = calls
            print(f"{(SHAPES / file).stat().st_size:8} {file}: {len(calls[0]['layers'])} layers")
    (SHAPES / "layers.json").write_text("[\n" + ",\n".join(" " + json.dumps(each) for each in single_layers()) + "\n]\n")
    lines = [f"  {json.dumps(file)}: [\n" + ",\n".join("   " + json.dumps(call) for call in calls) + "]" for file, calls in manifest.items()]
    (SHAPES / "shapes.json").write_text("{\n" + ",\n".join(lines) + "\n}\n")


if __name__ == "__main__":
    main()
