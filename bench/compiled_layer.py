"""A layer of the benchmark, compiled by `sepconv compile` for its shape, with its weights in it."""

import json
import subprocess

import numpy as np


def config(layer):
    return {"name": "layer", "filters": layer["f"], "kernel_size": layer["k"], "strides": layer["s"], "dilation_rate": layer["d"],
            "depth_multiplier": layer["m"], "padding": "same", "activation": "relu", "data_format": layer.get("data_format", "channels_last")}


def input_shape(layer, rows=None, columns=None):
    """As --input-shape takes it; `rows` and `columns` in place of the layer's own."""
    size = f"{rows or layer['h']},{columns or layer['w']}"
    channels_first = layer.get("data_format") == "channels_first"
    return f"{layer.get('n', 1)},{layer['c']},{size}" if channels_first else f"{layer.get('n', 1)},{size},{layer['c']}"


def write(layer, folder, values):
    """config.json and weights.npz from the values of the depthwise kernel, of the pointwise one and of the bias."""
    k, c, m, f = (layer[key] for key in "kcmf")
    (folder / "config.json").write_text(json.dumps(config(layer)))
    shapes = {"depthwise": (k, k, c, m), "pointwise": (1, 1, c * m, f), "bias": (f,)}
    arrays = {name: values(name, int(np.prod(shape))).reshape(shape) for name, shape in shapes.items()}
    np.savez(folder / "weights.npz", depthwise_kernel=arrays["depthwise"], pointwise_kernel=arrays["pointwise"], bias=arrays["bias"])


def compile_layer(sepconv, folder, name, shape, *options):
    done = subprocess.run([sepconv, "compile", "--config", folder / "config.json", "--weights", folder / "weights.npz", "--input-shape", shape,
                           "--name", name, *options, "-o", folder], stderr=subprocess.PIPE, text=True)
    if done.returncode != 0:
        raise SystemExit(done.stderr)


def library(sepconv, layer, folder, threads):
    """From the weights that lie in the folder, as the worker in worker.cpp takes it."""
    write(layer, folder, lambda name, count: np.fromfile(folder / f"{name}.f32", np.float32, count))
    compile_layer(sepconv, folder, "layer", input_shape(layer), *(["--threads", str(threads)] if threads > 1 else ["--no-threads"]))
    file = folder / "layer.so"
    subprocess.run(["cc", "-shared", "-o", file, "-Wl,--whole-archive", folder / "layer.a", "-Wl,--no-whole-archive", "-lm", "-lpthread", "-ldl"],
                   check=True)
    manifest = json.loads((folder / "layer.json").read_text())
    return {"library": str(file), "function": "layer_with_workspace", "workspace_bytes": manifest["workspace_bytes"]}
