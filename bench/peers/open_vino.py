"""OpenVINO: the layer as GroupConvolution, Convolution, Add and Relu, weights as constants. Tried with the image's channels first and
last, as OpenVINO's own plugin takes either; the faster one is measured."""

import functools

import numpy as np
import openvino
from openvino import opset13 as ops

import worker


def request(model, threads):
    compiled = openvino.Core().compile_model(model, "CPU", {
        "PERFORMANCE_HINT": "LATENCY", "INFERENCE_NUM_THREADS": threads, "NUM_STREAMS": 1, "INFERENCE_PRECISION_HINT": "f32",
        "ENABLE_CPU_PINNING": False})  # the driver has pinned the process
    return compiled.create_infer_request()


def call_of(made):
    """The least that Python can do to run a request whose tensors are in place."""
    return functools.partial(super(type(made), made).infer, {}, share_outputs=True, decode_strings=False)


def layer_model(layer, arrays):
    h, w, c, f, k, s, d, m = (layer[key] for key in "hwcfksdm")
    (top, bottom), (left, right) = worker.same_padding(h, layer), worker.same_padding(w, layer)
    image = ops.parameter([1, c, h, w], np.float32, name="x")
    taps = ops.constant(worker.depthwise_by_group(arrays["depthwise"]).reshape(c, m, 1, k, k))
    between = ops.group_convolution(image, taps, [s, s], [top, left], [bottom, right], [d, d])
    matrix = ops.constant(np.ascontiguousarray(arrays["pointwise"].reshape(c * m, f).T.reshape(f, c * m, 1, 1)))
    product = ops.convolution(between, matrix, [1, 1], [0, 0], [0, 0], [1, 1])
    return openvino.Model([ops.relu(ops.add(product, ops.constant(arrays["bias"].reshape(1, f, 1, 1))))], [image], "layer")


def channels_last(model):
    steps = openvino.preprocess.PrePostProcessor(model)
    steps.input().tensor().set_layout(openvino.Layout("NHWC"))
    steps.input().model().set_layout(openvino.Layout("NCHW"))
    steps.output().tensor().set_layout(openvino.Layout("NHWC"))
    steps.output().model().set_layout(openvino.Layout("NCHW"))
    return steps.build()


def prepare(layer, arrays, threads):
    last = request(channels_last(layer_model(layer, arrays)), threads)
    last.get_input_tensor().data[:] = arrays["input"]
    first = request(layer_model(layer, arrays), threads)
    first.get_input_tensor().data[:] = arrays["input"].transpose(0, 3, 1, 2)
    if worker.least(call_of(last), 0.05) < worker.least(call_of(first), 0.05):
        return call_of(last), lambda: last.get_output_tensor().data
    return call_of(first), lambda: first.get_output_tensor().data.transpose(0, 2, 3, 1)


def minimal(threads):
    image = ops.parameter([1, 1], np.float32, name="x")
    return call_of(request(openvino.Model([ops.relu(image)], [image], "minimal"), threads))


worker.serve(openvino.__version__.split("-")[0], prepare, minimal)
