"""LiteRT (XNNPACK): the layer as a .tflite model of DEPTHWISE_CONV_2D and CONV_2D with a fused relu."""

import importlib.metadata

import flatbuffers
import numpy as np
from ai_edge_litert import schema_py_generated as schema
from ai_edge_litert.interpreter import Interpreter

import worker

RELU = schema.ActivationFunctionType.RELU


class Model:
    """A .tflite model under construction: one subgraph, from tensor 0 to the tensor added last."""

    def __init__(self):
        self.tensors, self.buffers, self.operators, self.codes = [], [schema.BufferT()], [], []

    def tensor(self, shape, values=None):
        tensor = schema.TensorT()
        tensor.shape, tensor.type, tensor.buffer = list(shape), schema.TensorType.FLOAT32, 0
        tensor.name = f"tensor_{len(self.tensors)}"
        if values is not None:
            buffer = schema.BufferT()
            buffer.data = np.ascontiguousarray(values, np.float32).view(np.uint8).ravel()
            tensor.buffer = len(self.buffers)
            self.buffers.append(buffer)
        self.tensors.append(tensor)
        return len(self.tensors) - 1

    def operator(self, code, inputs, shape, options=None, kind=0):
        operator_code = schema.OperatorCodeT()
        operator_code.builtinCode = operator_code.deprecatedBuiltinCode = code
        operator_code.version = 2 if code == schema.BuiltinOperator.DEPTHWISE_CONV_2D else 1  # 2: with a dilation
        operator = schema.OperatorT()
        operator.opcodeIndex = len(self.codes)
        operator.inputs, operator.outputs = inputs, [self.tensor(shape)]
        operator.builtinOptions, operator.builtinOptionsType = options, kind
        self.codes.append(operator_code)
        self.operators.append(operator)
        return operator.outputs[0]

    def bytes(self):
        graph = schema.SubGraphT()
        graph.tensors, graph.operators = self.tensors, self.operators
        graph.inputs, graph.outputs = [0], [self.operators[-1].outputs[0]]
        model = schema.ModelT()
        model.version, model.subgraphs, model.buffers, model.operatorCodes = 3, [graph], self.buffers, self.codes
        builder = flatbuffers.Builder(1024)
        builder.Finish(model.Pack(builder), file_identifier=b"TFL3")
        return bytes(builder.Output())


def interpreter(model, threads):
    made = Interpreter(model_content=model.bytes(), num_threads=threads)  # with XNNPACK, which is the default
    made.allocate_tensors()
    return made


def prepare(layer, arrays, threads):
    h, w, c, f, k, s, d, m = (layer[key] for key in "hwcfksdm")
    out_h, out_w = -(-h // s), -(-w // s)
    model = Model()
    image = model.tensor((1, h, w, c))
    depthwise = schema.DepthwiseConv2DOptionsT()
    depthwise.padding, depthwise.strideH, depthwise.strideW = schema.Padding.SAME, s, s
    depthwise.dilationHFactor, depthwise.dilationWFactor, depthwise.depthMultiplier = d, d, m
    taps = model.tensor((1, k, k, c * m), arrays["depthwise"])
    zeros = model.tensor((c * m,), np.zeros(c * m))
    between = model.operator(schema.BuiltinOperator.DEPTHWISE_CONV_2D, [image, taps, zeros], (1, out_h, out_w, c * m), depthwise,
                             schema.BuiltinOptions.DepthwiseConv2DOptions)
    pointwise = schema.Conv2DOptionsT()
    pointwise.padding, pointwise.strideH, pointwise.strideW = schema.Padding.SAME, 1, 1
    pointwise.dilationHFactor, pointwise.dilationWFactor, pointwise.fusedActivationFunction = 1, 1, RELU
    matrix = model.tensor((f, 1, 1, c * m), arrays["pointwise"].reshape(c * m, f).T)
    bias = model.tensor((f,), arrays["bias"])
    model.operator(schema.BuiltinOperator.CONV_2D, [between, matrix, bias], (1, out_h, out_w, f), pointwise,
                   schema.BuiltinOptions.Conv2DOptions)
    made = interpreter(model, threads)
    made.set_tensor(made.get_input_details()[0]["index"], arrays["input"])
    return made.invoke, lambda: made.get_tensor(made.get_output_details()[0]["index"])


def minimal(threads):
    model = Model()
    model.operator(schema.BuiltinOperator.RELU, [model.tensor((1, 1))], (1, 1))
    return interpreter(model, threads).invoke


worker.serve(importlib.metadata.version("ai-edge-litert"), prepare, minimal)
