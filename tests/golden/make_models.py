"""Writes models/: small model files as Keras 2 (tf_keras) and Keras 3 save them, and what each SeparableConv2D in them computes.

    python tests/golden/make_models.py

models.json says for each file which Keras it is from, the file of weights where they stand apart, and for each layer (the names of
the models and wrappers around it and its own, joined by '/', in the model's order) its facts and the key of its `<key>/input` and
`<key>/output` in expected.npz. An answer is that of the layer alone in float32, checked against the float64 sum.
"""

import json
import os
import shutil
import tempfile
import zipfile
from pathlib import Path

os.environ["TF_ENABLE_ONEDNN_OPTS"] = "0"
os.environ["TF_CPP_MIN_LOG_LEVEL"] = "3"

import h5py  # noqa: E402
import keras  # noqa: E402
import numpy as np  # noqa: E402
import tensorflow as tf  # noqa: E402
import tf_keras  # noqa: E402

from reference import largest_difference, separable_conv2d  # noqa: E402

MODELS = Path(__file__).parent / "models"
RANDOM = np.random.default_rng(31)


def random_values(shape):
    """Multiples of 1/64 in [-1, 1]: exact in bfloat16 and float16 too."""
    return (RANDOM.integers(-64, 65, shape) / 64).astype(np.float32)


class Expected:
    """What the layers of the files compute, as it is gathered."""

    def __init__(self):
        self.arrays = {}
        self.manifest = {}

    def add_layer(self, file, name, layer, weights, image):
        """`layer` is an unbuilt float32 layer of either Keras, `weights` its arrays in Keras' order."""
        weights = [np.asarray(w).astype(np.float32) for w in weights]
        if not layer.built:
            layer.build(image.shape)
        layer.set_weights(weights)
        answer = np.asarray(run_alone(layer, image))
        exact = float64_answer(layer, weights, image)
        difference = largest_difference(answer, exact)
        if not difference < 1e-5:
            raise RuntimeError(f"{file}: {name}: TensorFlow is {difference:.2g} away from the float64 sum")
        key = f"{len(self.arrays) // 2:03}"
        self.arrays[f"{key}/input"], self.arrays[f"{key}/output"] = image, answer
        facts = {
            "key": key,
            "input_channels": int(weights[0].shape[2]),
            "filters": int(layer.filters),
            "kernel_size": list(layer.kernel_size),
            "strides": list(layer.strides),
            "padding": layer.padding,
            "data_format": layer.data_format,
            "dilation_rate": list(layer.dilation_rate),
            "depth_multiplier": int(layer.depth_multiplier),
            "use_bias": bool(layer.use_bias),
            "input_shape": list(image.shape),
            "output_shape": list(answer.shape),
            "depthwise_kernel_sum": float(np.sum(weights[0], dtype=np.float64)),
            "pointwise_kernel_sum": float(np.sum(weights[1], dtype=np.float64)),
        }
        self.manifest[file]["layers"][name] = facts

    def add_model(self, file, model, keras_version, weights_file=None):
        """Every separable convolution of a model that was saved as `file`."""
        self.manifest[file] = {"keras": keras_version, "weights": weights_file, "layers": {}}
        for name, layer in separable_layers(model):
            channels = layer.get_weights()[0].shape[2]
            first = layer.data_format == "channels_first"
            image = random_values((2, channels, 7, 8) if first else (2, 7, 8, channels))
            self.add_layer(file, name, alone(layer), layer.get_weights(), image)

    def write(self):
        np.savez_compressed(MODELS / "expected.npz", **self.arrays)
        (MODELS / "models.json").write_text(manifest_text(self.manifest))


def manifest_text(manifest):
    """JSON with a line for each layer."""
    files = []
    for file, facts in manifest.items():
        layers = ",\n".join(f"   {json.dumps(name)}: {json.dumps(layer)}" for name, layer in facts["layers"].items())
        head = ", ".join(f"{json.dumps(key)}: {json.dumps(value)}" for key, value in facts.items() if key != "layers")
        files.append(f'  {json.dumps(file)}: {{{head}, "layers": {{\n{layers}}}}}')
    return "{\n" + ",\n".join(files) + "\n}\n"


def separable_layers(model, around=""):
    for layer in model.layers:
        yield from separable_inside(layer, around)


def separable_inside(layer, around):
    if isinstance(layer, (keras.layers.SeparableConv2D, tf_keras.layers.SeparableConv2D)):
        yield around + layer.name, layer
    elif isinstance(layer, (keras.layers.TimeDistributed, tf_keras.layers.TimeDistributed)):
        yield from separable_inside(layer.layer, around + layer.name + "/")
    elif hasattr(layer, "layers"):
        yield from separable_layers(layer, around + layer.name + "/")


def alone(layer):
    """The same layer in float32, without weights."""
    config = layer.get_config()
    config["dtype"] = "float32"
    return type(layer).from_config(config)


def run_alone(layer, image):
    if layer.data_format == "channels_first" and isinstance(layer, tf_keras.layers.SeparableConv2D):
        # Keras 2 leaves channels_first to TensorFlow, which has no such convolution on a CPU.
        config = layer.get_config()
        config.update(data_format="channels_last", activation=None)
        last = type(layer).from_config(config)
        last.build((None, *image.shape[2:], image.shape[1]))
        last.set_weights(layer.get_weights())
        return layer.activation(tf.transpose(last(tf.transpose(image, (0, 2, 3, 1))), (0, 3, 1, 2)))
    return layer(image)


def float64_answer(layer, weights, image):
    bias = weights[2] if layer.use_bias else None
    total = separable_conv2d(
        image, weights[0], weights[1], bias, layer.strides, layer.dilation_rate, layer.padding, layer.data_format
    )
    return np.asarray(layer.activation(tf.constant(total)))


def fill(model):
    """Random weights everywhere, biases included."""
    model.set_weights([random_values(w.shape).astype(w.dtype) for w in model.get_weights()])
    return model


def chain(lib, shape, layers, name=None):
    """A functional model of either Keras, one layer after the other."""
    image = lib.Input(shape, name=f"{name}_image" if name else None)
    x = image
    for layer in layers:
        x = layer(x)
    return lib.Model(image, x, name=name)


# Keras 2


def keras2_functional():
    L = tf_keras.layers
    return chain(tf_keras, (20, 21, 3), [
        L.Conv2D(4, 3, padding="same", activation="relu", name="stem"),
        L.SeparableConv2D(8, 3, strides=2, padding="same", use_bias=False, name="downsample"),
        L.BatchNormalization(name="norm"),
        L.SeparableConv2D(5, (1, 5), padding="valid", depth_multiplier=2, activation="hard_sigmoid", name="row_window"),
        L.SeparableConv2D(7, 3, dilation_rate=2, padding="same", activation="relu",
                          depthwise_regularizer="l2", bias_initializer="ones", name="dilated"),
        L.GlobalAveragePooling2D(name="pool"),
        L.Dense(2, name="head"),
    ])  # fmt: skip


def keras2_sequential():
    L = tf_keras.layers
    return tf_keras.Sequential([
        L.SeparableConv2D(6, 3, padding="same", activation="swish", input_shape=(16, 16, 3)),
        L.MaxPooling2D(),
        L.SeparableConv2D(4, 2, activation="softmax"),
        L.SeparableConv2D(9, (3, 1), padding="same", activation="gelu", depth_multiplier=3),
    ])  # fmt: skip


def keras2_layer_activations():
    L = tf_keras.layers
    return chain(tf_keras, (9, 9, 2), [
        L.SeparableConv2D(5, 3, activation=L.ReLU(max_value=2.0, negative_slope=0.25, threshold=0.5), name="relu"),
        L.SeparableConv2D(5, 1, activation=L.LeakyReLU(alpha=0.125), name="leaky"),
        L.SeparableConv2D(5, 1, activation=L.LeakyReLU(), name="leaky_default"),
        L.SeparableConv2D(5, 1, activation=L.ELU(alpha=0.75), name="elu"),
        L.SeparableConv2D(5, 1, activation=L.Softmax(axis=1), name="softmax"),
    ])  # fmt: skip


def keras2_nested():
    L = tf_keras.layers
    # Keras 2 cannot save two layers of one name inside one nested model.
    deep = tf_keras.Sequential([L.SeparableConv2D(4, 3, padding="same", input_shape=(8, 8, 6), name="block_of_deep")], name="deep")
    # A frozen layer's weights come after all others in the list of a nested model.
    inner = chain(tf_keras, (8, 8, 6), [
        L.SeparableConv2D(6, 3, padding="same", name="frozen", trainable=False),
        L.BatchNormalization(name="norm"),
        L.SeparableConv2D(6, 3, padding="same", name="block"),
        L.Conv2D(6, 1, name="conv"),
        deep,
    ], name="inner")  # fmt: skip
    frames = chain(tf_keras, (8, 8, 4), [L.SeparableConv2D(3, 3, name="block")], name="frames")
    image = tf_keras.Input((8, 8, 3))
    x = L.SeparableConv2D(6, 1, name="block")(image)
    x = inner(x)
    x = L.Reshape((1, 8, 8, 4))(x)
    x = L.TimeDistributed(L.SeparableConv2D(4, 3, padding="same", name="each"), name="distributed")(x)
    x = L.TimeDistributed(frames, name="distributed_model")(x)
    return tf_keras.Model(image, x)


def keras2_float16():
    L = tf_keras.layers
    return chain(tf_keras, (6, 6, 3), [
        L.SeparableConv2D(4, 3, dtype="float16", name="half"),
        L.SeparableConv2D(2, 3, dtype="float64", name="double"),
        L.SeparableConv2D(2, 1, dtype="mixed_float16", name="mixed"),
    ])  # fmt: skip


def keras2_channels_first():
    # Built without being run, which TensorFlow on a CPU could not do.
    layers = [
        tf_keras.layers.SeparableConv2D(6, 3, data_format="channels_first", padding="same", name="first", activation="relu"),
        tf_keras.layers.SeparableConv2D(5, (2, 3), data_format="channels_first", depth_multiplier=2, name="second"),
    ]
    return chain(tf_keras, (3, 7, 8), layers)


def keras2_long_names():
    """One name on each level so long that the lists of layers and of weights, whose items are as long as the longest, exceed one HDF5
    attribute (64,512 bytes) and are split."""
    L = tf_keras.layers
    long = "_".join(["a_name_that_goes_on"] * 85)
    inner = chain(tf_keras, (4, 4, 2), [
        L.SeparableConv2D(2, 1, use_bias=False, name=f"inside_{i:02}" if i != 7 else f"{long}_inside") for i in range(19)
    ], name="inner")  # fmt: skip
    image = tf_keras.Input((4, 4, 2), name="image")
    x = L.SeparableConv2D(2, 3, padding="same", name=f"{long}_first")(image)
    for i in range(36):
        x = L.ReLU(name=f"relu_{i:02}")(x)
    x = inner(x)
    return tf_keras.Model(image, L.SeparableConv2D(3, 3, padding="same", name="last")(x))


# Keras 3


def keras3_functional():
    L = keras.layers
    return chain(keras, (20, 21, 3), [
        L.Conv2D(4, 3, padding="same", activation="relu", name="stem"),
        L.SeparableConv2D(8, 3, strides=2, padding="same", use_bias=False, name="downsample"),
        L.BatchNormalization(name="norm"),
        L.SeparableConv2D(5, (1, 5), padding="valid", depth_multiplier=2, activation="hard_sigmoid", name="row_window"),
        L.SeparableConv2D(7, 3, dilation_rate=2, padding="same", activation="relu",
                          depthwise_regularizer="l2", pointwise_constraint="max_norm", name="dilated"),
        L.GlobalAveragePooling2D(name="pool"),
        L.Dense(2, name="head"),
    ])  # fmt: skip


def keras3_nested():
    """A functional model in a sequential one, the same layer name on each level."""
    L = keras.layers
    deep = keras.Sequential([keras.Input((8, 8, 6)), L.SeparableConv2D(4, 3, padding="same", name="block")], name="deep")
    # A frozen layer's weights come after all others in the list of a nested model.
    inner = chain(keras, (8, 8, 6), [
        L.SeparableConv2D(6, 3, padding="same", name="frozen", trainable=False),
        L.BatchNormalization(name="norm"),
        L.SeparableConv2D(6, 3, padding="same", name="block"),
        L.Conv2D(6, 1, name="conv"),
        deep,
    ], name="inner_block")  # fmt: skip
    return keras.Sequential([
        keras.Input((8, 8, 3)),
        L.SeparableConv2D(6, 1, name="block"),
        inner,
        L.SeparableConv2D(2, 2, name="after"),
    ])  # fmt: skip


def keras3_time_distributed():
    L = keras.layers
    frames = chain(keras, (6, 6, 4), [
        L.SeparableConv2D(3, 3, name="frame_a"), L.SeparableConv2D(2, 3, name="frame_b"),
    ], name="frames")  # fmt: skip
    return chain(keras, (2, 6, 6, 3), [
        L.TimeDistributed(L.SeparableConv2D(4, 3, padding="same", name="each"), name="td"),
        L.TimeDistributed(frames, name="td_model"),
    ])  # fmt: skip


def keras3_layer_activations():
    L = keras.layers
    return chain(keras, (9, 9, 2), [
        L.SeparableConv2D(5, 3, activation=L.ReLU(max_value=2.0, negative_slope=0.25, threshold=0.5), name="relu"),
        L.SeparableConv2D(5, 1, activation=L.LeakyReLU(negative_slope=0.125), name="leaky"),
        L.SeparableConv2D(5, 1, activation=L.LeakyReLU(), name="leaky_default"),
        L.SeparableConv2D(5, 1, activation=L.ELU(alpha=0.75), name="elu"),
        L.SeparableConv2D(5, 1, activation=L.Softmax(axis=1), name="softmax"),
        L.SeparableConv2D(4, 1, activation=L.Softmax(axis=[1, 2]), name="softmax_of_two_axes"),
        L.SeparableConv2D(4, 1, activation="glu", name="glu"),
    ])  # fmt: skip


def keras3_renamed():
    """Names that are other layers' paths in the file: the first is named like the second one's path and the reverse."""
    L = keras.layers
    keras.utils.clear_session()
    for _ in range(5):
        L.SeparableConv2D(1, 1)  # so that the automatic name below is separable_conv2d_5
    return chain(keras, (9, 9, 2), [
        L.SeparableConv2D(3, 3, name="separable_conv2d_1"),
        L.SeparableConv2D(3, 3, name="separable_conv2d"),
        L.SeparableConv2D(3, 1),
        L.SeparableConv2D(3, 1, name="renamed"),
    ])  # fmt: skip


def keras3_lower_precision():
    L = keras.layers
    return chain(keras, (6, 6, 3), [
        L.SeparableConv2D(4, 3, dtype="bfloat16", name="brain"),
        L.SeparableConv2D(2, 3, dtype="float16", name="half"),
        L.SeparableConv2D(2, 1, dtype="mixed_bfloat16", name="mixed"),
        L.SeparableConv2D(2, 1, dtype="float64", name="double"),
    ])  # fmt: skip


def keras3_channels_first():
    L = keras.layers
    return chain(keras, (3, 7, 9), [
        L.SeparableConv2D(6, 3, data_format="channels_first", padding="same", name="first", activation="relu"),
        L.SeparableConv2D(5, (2, 3), data_format="channels_first", depth_multiplier=2, activation="softmax", name="second"),
    ])  # fmt: skip


def strip_names(source, target):
    """The file as Keras before 3.15 wrote it: without the layers' names in the weights."""
    with tempfile.TemporaryDirectory() as folder, zipfile.ZipFile(source) as old:
        inner = Path(folder) / "model.weights.h5"
        inner.write_bytes(old.read("model.weights.h5"))
        with h5py.File(inner, "r+") as file:
            def strip(_, item):
                item.attrs.pop("name", None)
            file.visititems(strip)
        metadata = json.loads(old.read("metadata.json"))
        metadata["keras_version"] = "3.3.3"
        with zipfile.ZipFile(target, "w") as new:
            new.writestr("metadata.json", json.dumps(metadata))
            new.writestr("config.json", old.read("config.json"))
            new.write(inner, "model.weights.h5")


def old_layer_config(name, filters, kernel_size, **given):
    """A SeparableConv2D as Keras 2.0.5 wrote it: no dtype, initialisers without module."""
    initializer = {"class_name": "VarianceScaling",
                   "config": {"scale": 1.0, "mode": "fan_avg", "distribution": "uniform", "seed": None}}  # fmt: skip
    config = {
        "name": name, "trainable": True, "filters": filters, "kernel_size": kernel_size, "strides": [1, 1],
        "padding": "valid", "data_format": "channels_last", "dilation_rate": [1, 1], "activation": "linear",
        "use_bias": True, "bias_initializer": {"class_name": "Zeros", "config": {}}, "bias_regularizer": None,
        "activity_regularizer": None, "bias_constraint": None, "depth_multiplier": 1,
        "depthwise_initializer": initializer, "pointwise_initializer": initializer, "depthwise_regularizer": None,
        "pointwise_regularizer": None, "depthwise_constraint": None, "pointwise_constraint": None,
    }  # fmt: skip
    config.update(given)
    return config


def write_old_sequential(expected, file):
    """What Keras 2.0.5 wrote for a Sequential, which no Keras of today can write: the layers as a bare list, fixed-length strings,
    the list of a layer without weights as an empty float64 array, and paths that differ from the layers' names."""
    configs = [
        old_layer_config("separable_conv2d_1", 6, [3, 3], padding="same", use_bias=False, batch_input_shape=[None, 10, 10, 3]),
        old_layer_config("separable_conv2d_2", 4, [2, 3], strides=[2, 2], activation="hard_sigmoid", depth_multiplier=2),
    ]
    layers = [{"class_name": "SeparableConv2D", "config": configs[0]},
              {"class_name": "Activation", "config": {"name": "activation_1", "trainable": True, "activation": "relu"}},
              {"class_name": "SeparableConv2D", "config": configs[1]}]  # fmt: skip
    expected.manifest[file] = {"keras": "keras2", "weights": None, "layers": {}}
    with h5py.File(MODELS / file, "w") as out:
        out.attrs["keras_version"] = np.bytes_("2.0.5")
        out.attrs["backend"] = np.bytes_("tensorflow")
        out.attrs["model_config"] = np.bytes_(json.dumps({"class_name": "Sequential", "config": layers}))
        group = out.create_group("model_weights")
        group.attrs["layer_names"] = np.array([layer["config"]["name"].encode() for layer in layers])
        group.attrs["backend"] = np.bytes_("tensorflow")
        group.attrs["keras_version"] = np.bytes_("2.0.5")
        group.create_group("activation_1").attrs["weight_names"] = np.zeros(0)
        channels = 3
        for config in configs:
            layer = tf_keras.layers.SeparableConv2D(
                config["filters"], config["kernel_size"], strides=config["strides"], padding=config["padding"],
                activation=config["activation"], use_bias=config["use_bias"], depth_multiplier=config["depth_multiplier"],
            )  # fmt: skip
            layer.build((None, 10, 10, channels))
            weights = [random_values(w.shape) for w in layer.get_weights()]
            names = [f"{config['name']}_1/{part}:0" for part in ("depthwise_kernel", "pointwise_kernel", "bias")]
            own = group.create_group(config["name"])
            own.attrs["weight_names"] = np.array([n.encode() for n in names[: len(weights)]])
            for name, weight in zip(names, weights):
                own[name] = weight
            expected.add_layer(file, config["name"], layer, weights, random_values((1, 10, 10, channels)))
            channels = config["filters"]


def main():
    shutil.rmtree(MODELS, ignore_errors=True)
    MODELS.mkdir()
    expected = Expected()
    write_old_sequential(expected, "keras2_0_sequential.hdf5")
    for make in (keras2_functional, keras2_sequential, keras2_layer_activations, keras2_nested, keras2_float16,
                 keras2_channels_first, keras2_long_names):  # fmt: skip
        model = fill(make())
        file = make.__name__ + ".h5"
        model.save(MODELS / file)
        expected.add_model(file, model, "keras2")
        if make in (keras2_functional, keras2_nested):
            # The later Keras 2 writes the zip form as well.
            file = make.__name__ + ".keras"
            model.save(MODELS / file)
            expected.add_model(file, model, "keras2")
    for make, suffixes in (
        (keras3_functional, (".keras", ".h5", ".weights.h5")),
        (keras3_nested, (".keras", ".h5", ".weights.h5")),
        (keras3_time_distributed, (".keras", ".h5")),
        (keras3_layer_activations, (".keras", ".h5")),
        (keras3_renamed, (".keras", ".h5")),
        (keras3_lower_precision, (".keras",)),
        (keras3_channels_first, (".keras",)),
    ):
        model = fill(make())
        for suffix in suffixes:
            file = make.__name__ + suffix
            if suffix == ".weights.h5":
                model.save_weights(MODELS / file)
                (MODELS / f"{make.__name__}.json").write_text(model.to_json())
                expected.add_model(f"{make.__name__}.json", model, "keras3", file)
            else:
                model.save(MODELS / file)
                expected.add_model(file, model, "keras3")
        if make in (keras3_nested, keras3_renamed):
            file = make.__name__ + "_without_names.keras"
            strip_names(MODELS / (make.__name__ + ".keras"), MODELS / file)
            expected.add_model(file, model, "keras3")
    expected.write()
    for path in sorted(MODELS.iterdir()):
        layers = expected.manifest.get(path.name, {}).get("layers", {})
        print(f"{path.stat().st_size:8} {path.name}: {len(layers)} layers")


if __name__ == "__main__":
    main()
