"""This library by its C interface (sepconv/c.h), for tensors that are addresses: of a GPU's memory, or of the host's."""

import ctypes
import json
import pathlib

Shape = ctypes.c_int64 * 4


class Weights(ctypes.Structure):
    _fields_ = [("depthwise_kernel", ctypes.c_void_p), ("depthwise_shape", Shape), ("pointwise_kernel", ctypes.c_void_p),
                ("pointwise_shape", Shape), ("bias", ctypes.c_void_p), ("bias_size", ctypes.c_int64)]


class Tensor(ctypes.Structure):
    """Dense; of a sepconv_tensor, and of those that are read only or float16, the fields are the same."""
    _fields_ = [("data", ctypes.c_void_p), ("shape", Shape), ("strides", Shape)]


class Gpu(ctypes.Structure):
    _fields_ = [("target", ctypes.c_char_p), ("device", ctypes.c_char_p), ("why_not", ctypes.c_char_p)]


class Error(Exception):
    pass


def config_of(layer, data_format, dtype):
    """The config of a layer of layers.json, as layer.get_config() has it."""
    return {"name": layer["name"], "filters": layer["f"], "kernel_size": layer["k"], "strides": layer["s"], "dilation_rate": layer["d"],
            "depth_multiplier": layer["m"], "padding": "same", "activation": "relu", "data_format": data_format, "dtype": dtype}


class Library:
    def __init__(self, file):
        self.functions = ctypes.CDLL(str(file))
        self.functions.sepconv_last_error.restype = ctypes.c_char_p

    def call(self, function, *arguments):
        if getattr(self.functions, function)(*arguments) != 0:
            raise Error(f"{function}: {self.functions.sepconv_last_error().decode()}")

    def version(self):
        text = ctypes.c_char_p()
        self.call("sepconv_version", ctypes.byref(text))
        return text.value.decode()

    def why_not(self, target):
        """Why no layer runs on a GPU target, or nothing where they do."""
        found, count = ctypes.POINTER(Gpu)(), ctypes.c_size_t()
        self.call("sepconv_gpus", ctypes.byref(found), ctypes.byref(count))
        for gpu in found[:count.value]:
            if gpu.target.decode() == target:
                return gpu.why_not.decode()
        return f"the library is built without {target} (SEPCONV_GPUS)"


class Layer:
    """A layer for one target. The weights are float32 in the host's memory, in Keras' own layout: their addresses."""

    def __init__(self, library, layer, data_format, dtype, depthwise, pointwise, bias, target):
        self.library, self.layer, self.handle = library, layer, ctypes.c_void_p()
        self.first, self.half = data_format == "channels_first", dtype == "float16"
        text, config = json.dumps(config_of(layer, data_format, dtype)).encode(), ctypes.c_void_p()
        library.call("sepconv_config_parse", text, ctypes.c_size_t(len(text)), None, ctypes.byref(config))
        c, f, k, m = (layer[key] for key in "cfkm")
        weights = Weights(depthwise, Shape(k, k, c, m), pointwise, Shape(1, 1, c * m, f), bias, f)
        try:
            library.call("sepconv_layer_create", config, ctypes.byref(weights), target and target.encode(), ctypes.byref(self.handle))
        finally:
            library.functions.sepconv_config_free(config)

    def shape(self, height, width, channels):
        n = self.layer.get("n", 1)
        return Shape(n, channels, height, width) if self.first else Shape(n, height, width, channels)

    def input_shape(self):
        return self.shape(*(self.layer[key] for key in "hwc"))

    def output_shape(self):
        return self.shape(*(-(-self.layer[key] // self.layer["s"]) for key in "hw"), self.layer["f"])

    def bound(self, function, input, output, last):
        """A call of `function` (`sepconv_layer_enqueue` or `sepconv_layer_run`) without arguments, on tensors at two addresses."""
        name = function + ("_float16" if self.half else "")
        tensors = [Tensor(input, self.input_shape(), Shape()), Tensor(output, self.output_shape(), Shape())]
        arguments = [self.handle, *map(ctypes.byref, tensors), ctypes.c_void_p(last)]
        found, failed = getattr(self.library.functions, name), self.library.functions.sepconv_last_error

        def call():
            if found(*arguments) != 0:
                raise Error(f"{name}: {failed().decode()}")

        return call

    def explain(self):
        """The functions that it takes, and the cut."""
        length, shape = ctypes.c_size_t(), self.input_shape()
        self.library.call("sepconv_layer_explain", self.handle, shape, 1, None, ctypes.c_size_t(0), ctypes.byref(length))
        text = ctypes.create_string_buffer(length.value + 1)
        self.library.call("sepconv_layer_explain", self.handle, shape, 1, text, ctypes.c_size_t(len(text)), None)
        return json.loads(text.value)

    def close(self):
        self.library.functions.sepconv_layer_free(self.handle)
        self.handle = ctypes.c_void_p()


def find(build):
    """The shared library of a build, or None."""
    found = sorted(pathlib.Path(build).rglob("libsepconv.so*"))
    return found[0] if found else None
