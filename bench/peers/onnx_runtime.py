"""ONNX Runtime: the layer as two Conv and a Relu, channels first as ONNX has it; weights are initializers."""

import numpy as np
import onnx
import onnxruntime
from onnx import TensorProto, helper, numpy_helper

import worker


def session(nodes, shapes, weights, threads):
    values = {name: helper.make_tensor_value_info(name, TensorProto.FLOAT, shape) for name, shape in shapes.items()}
    graph = helper.make_graph(nodes, "layer", [values["x"]], [values["y"]],
                              [numpy_helper.from_array(np.ascontiguousarray(array), name) for name, array in weights.items()])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=10)
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads, options.inter_op_num_threads = threads, 1
    options.execution_mode = onnxruntime.ExecutionMode.ORT_SEQUENTIAL
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_ENABLE_ALL
    return onnxruntime.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])


def bound(made, image, output_shape):
    """A call with input and output in place beforehand, in memory that ONNX Runtime has allocated; and the output."""
    source = onnxruntime.OrtValue.ortvalue_from_shape_and_type(image.shape, np.float32)
    source.update_inplace(image)
    output = onnxruntime.OrtValue.ortvalue_from_shape_and_type(output_shape, np.float32)
    binding = made.io_binding()
    binding.bind_ortvalue_input("x", source)
    binding.bind_ortvalue_output("y", output)
    return lambda: made.run_with_iobinding(binding), output


def prepare(layer, arrays, threads):
    h, w, c, f, k, s, d, m = (layer[key] for key in "hwcfksdm")
    (top, bottom), (left, right) = worker.same_padding(h, layer), worker.same_padding(w, layer)
    weights = {"depthwise": worker.depthwise_by_group(arrays["depthwise"]),
               "pointwise": arrays["pointwise"].reshape(c * m, f).T.reshape(f, c * m, 1, 1), "bias": arrays["bias"]}
    nodes = [helper.make_node("Conv", ["x", "depthwise"], ["between"], group=c, kernel_shape=[k, k], strides=[s, s], dilations=[d, d],
                              pads=[top, left, bottom, right]),
             helper.make_node("Conv", ["between", "pointwise", "bias"], ["sum"], kernel_shape=[1, 1]),
             helper.make_node("Relu", ["sum"], ["y"])]
    image = np.ascontiguousarray(arrays["input"].transpose(0, 3, 1, 2))
    output_shape = [1, f, -(-h // s), -(-w // s)]
    call, output = bound(session(nodes, {"x": image.shape, "y": output_shape}, weights, threads), image, output_shape)
    return call, lambda: output.numpy().transpose(0, 2, 3, 1)


def minimal(threads):
    made = session([helper.make_node("Relu", ["x"], ["y"])], {"x": [1, 1], "y": [1, 1]}, {}, threads)
    return bound(made, np.zeros((1, 1), np.float32), [1, 1])[0]


worker.serve(onnxruntime.__version__, prepare, minimal)
