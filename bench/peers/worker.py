"""What every peer's worker shares: reading weights, and a loop over the driver's requests, one JSON object a line.

    {"prepare": layer, "weights": folder, "output": file, "threads": n}   makes the layer, runs it once, writes its output as N,H,W,C
    {"minimal": true, "threads": n}                                       makes a model that does nothing, to time the call itself
    {"measure": seconds}                                                  calls what was made until the time is over
    {"repeat": n}                                                         calls it n times

The answers are {"version": …} to begin with, then {} or {"seconds": least time of one call}. A layer has the fields of layers.json;
padding is `same`, with bias and relu.
"""

import json
import os
import sys
import time

import numpy as np


def read_weights(folder, layer):
    """The input and weights of a layer, in Keras' shapes."""
    h, w, c, f, k, m = (layer[key] for key in "hwcfkm")
    shapes = {"input": (1, h, w, c), "depthwise": (k, k, c, m), "pointwise": (1, 1, c * m, f), "bias": (f,)}
    return {name: np.fromfile(f"{folder}/{name}.f32", np.float32).reshape(shape) for name, shape in shapes.items()}


def same_padding(extent, layer):
    """Rows of zeros before and after, by Keras' rule."""
    reach = (layer["k"] - 1) * layer["d"] + 1
    total = max((-(-extent // layer["s"]) - 1) * layer["s"] + reach - extent, 0)
    return total // 2, total - total // 2


def depthwise_by_group(kernel):
    """A depthwise kernel (k, k, C, M) as a grouped convolution has it: (C·M, 1, k, k)."""
    k, _, c, m = kernel.shape
    return kernel.transpose(2, 3, 0, 1).reshape(c * m, 1, k, k)


def least(call, seconds):
    clock = time.perf_counter
    end = clock() + seconds
    shortest = float("inf")
    while True:
        start = clock()
        call()
        stop = clock()
        shortest = min(shortest, stop - start)
        if stop > end:
            return shortest


def serve(version, prepare, minimal):
    """`prepare(layer, arrays, threads)` gives a function without arguments that computes the layer, and one that returns its output as
    N,H,W,C; `minimal(threads)` gives a function that calls a model of one element."""
    requests, answers = sys.stdin, os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)  # what a framework prints goes to standard error

    def answer(value):
        print(json.dumps(value), file=answers, flush=True)

    answer({"version": version})
    call = None
    for line in requests:
        request = json.loads(line)
        if "measure" in request:
            answer({"seconds": least(call, request["measure"])})
            continue
        if "repeat" in request:
            for _ in range(request["repeat"]):
                call()
        elif "minimal" in request:
            call = minimal(request["threads"])
        else:
            layer = request["prepare"]
            call, output = prepare(layer, read_weights(request["weights"], layer), request["threads"])
            call()
            np.ascontiguousarray(output(), np.float32).tofile(request["output"])
        answer({})
