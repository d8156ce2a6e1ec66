"""Halide's own ways to compute a layer on a GPU, as bench/gpu has them beside this library's: the schedule that Anderson2021 finds for the
whole layer, and the two steps as two kernels, with the depthwise result in memory of the device in between.

    python3 bench/gpu_halide.py [BUILD]

compiles them all, which needs neither a GPU nor PyTorch. They are kept in build/bench/halide.
"""

import concurrent.futures
import ctypes
import json
import os
import pathlib
import subprocess
import sys
import types

TARGET = "host-cuda-cuda_capability_80"
PARALLELISM = 132  # multiprocessors that Anderson2021 plans for: an H100's

# In Halide's own runtime a thread has 64 registers where nothing is said.
os.environ.setdefault("HL_CUDA_JIT_MAX_REGISTERS", "255")


class Type(ctypes.Structure):
    _fields_ = [("code", ctypes.c_uint8), ("bits", ctypes.c_uint8), ("lanes", ctypes.c_uint16)]


class Dimension(ctypes.Structure):
    _fields_ = [("min", ctypes.c_int32), ("extent", ctypes.c_int32), ("stride", ctypes.c_int32), ("flags", ctypes.c_uint32)]


class Buffer(ctypes.Structure):
    """halide_buffer_t"""
    _fields_ = [("device", ctypes.c_uint64), ("device_interface", ctypes.c_void_p), ("host", ctypes.c_void_p), ("flags", ctypes.c_uint64),
                ("type", Type), ("dimensions", ctypes.c_int32), ("dim", ctypes.POINTER(Dimension)), ("padding", ctypes.c_void_p)]


FLOAT32 = (2, 32, 1)
DEVICE_DIRTY = 2


def dense(extents):
    """Dimensions, innermost first."""
    found, stride = (Dimension * len(extents))(), 1
    for i, extent in enumerate(extents):
        found[i] = Dimension(0, extent, stride, 0)
        stride *= extent
    return found


class Function:
    """A pipeline in a library of its own, on dense float32 tensors of the device."""

    def __init__(self, file, name):
        self.library = ctypes.CDLL(str(file))
        self.function = getattr(self.library, name)
        self.library.halide_cuda_device_interface.restype = ctypes.c_void_p
        self.library.sepconv_bench_error.restype = ctypes.c_char_p

    def bound(self, tensors):
        """A call on (address, extents innermost first), in a context and on a stream."""
        interface = self.library.halide_cuda_device_interface()
        buffers = [Buffer(address, interface, None, DEVICE_DIRTY, Type(*FLOAT32), len(extents), dense(extents), None)
                   for address, extents in tensors]
        arguments = [ctypes.byref(buffer) for buffer in buffers]

        def call(context, stream):
            self.library.sepconv_bench_enter(ctypes.c_void_p(context), ctypes.c_void_p(stream))
            code = self.function(*arguments)
            if code != 0:
                raise RuntimeError(f"Halide's error {code}: {self.library.sepconv_bench_error().decode().strip()}")

        return call


def output_size(layer):
    return -(-layer["h"] // layer["s"]), -(-layer["w"] // layer["s"])


def current_context():
    context = ctypes.c_void_p()
    ctypes.CDLL("libcuda.so.1").cuCtxGetCurrent(ctypes.byref(context))
    return context.value


class Kernels:
    """What the generators of a build make, compiled when it is first asked for."""

    def __init__(self, root, build):
        self.root, self.build, self.folder = root, build, root / "build/bench/halide"
        self.loaded = {}

    def arguments(self, way, layer):
        """The generator's program, its name and its arguments."""
        h, w, c, f, k, s, d, m = (layer[key] for key in "hwcfksdm")
        if way == "two kernels":
            return ("sepconv_bench_generators", "depthwise_on_gpu",
                    [f"kernel={k}", f"stride={s}", f"dilation={d}", f"height={h}", f"width={w}", f"channels={c}", f"multiplier={m}"])
        # a=1e39: a relu without an upper limit
        return ("sepconv-generators", "separable_conv2d",
                ["-p", "autoschedule_anderson2021", "autoscheduler=Anderson2021", f"autoscheduler.parallelism={PARALLELISM}",
                 "padding=same", "activation=relu", "a=1e39", f"batch={layer['n']}", f"height={h}", f"width={w}", f"channels={c}", f"filters={f}",
                 f"kernel_height={k}", f"kernel_width={k}", f"stride_y={s}", f"stride_x={s}", f"dilation_y={d}", f"dilation_x={d}",
                 f"depth_multiplier={m}"])

    def compiled(self, way, layer):
        """The library of a layer's function; the function's name is `made`."""
        program, generator, arguments = self.arguments(way, layer)
        batch = "" if way == "two kernels" else f"-{layer['n']}"
        file = self.folder / way.replace(" ", "_") / f"{layer['name']}{batch}.so"
        program = self.build / "bin" / program
        # What was compiled elsewhere is taken without the program that made it.
        if file.exists() and (not program.exists() or file.stat().st_mtime > program.stat().st_mtime):
            return file
        parts = file.with_suffix("")
        parts.mkdir(parents=True, exist_ok=True)

        def run(*command):
            subprocess.run(list(map(str, command)), check=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)

        try:
            run(program, "-g", generator, "-f", "made", "-e", "static_library,stmt", "-o", parts, f"target={TARGET}", *arguments)
            run(os.environ.get("CC", "cc"), "-O2", "-shared", "-fPIC", "-Wl,-Bsymbolic", self.root / "bench/gpu_runtime.c",
                "-Wl,--whole-archive", parts / "made.a", "-Wl,--no-whole-archive", "-lpthread", "-ldl", "-lm", "-o", parts / "made.so")
        except subprocess.CalledProcessError as error:
            raise RuntimeError(f"{way}: {error.cmd[0]} failed: {error.stdout.strip()[-300:]}") from error
        (parts / "made.so").rename(file)
        return file

    def prepare(self, layers, ways):
        """Compiles, on all cores. What does not compile is left to be reported where it is measured."""
        with concurrent.futures.ThreadPoolExecutor(len(os.sched_getaffinity(0))) as pool:
            jobs = [(way, layer, pool.submit(self.compiled, way, layer)) for way in ways for layer in layers]
        return {(way, layer["name"], layer["n"]): job.exception() for way, layer, job in jobs if job.exception()}

    def function(self, way, layer):
        file = self.compiled(way, layer)
        if file not in self.loaded:
            self.loaded[file] = Function(file, "made")
        return self.loaded[file]

    def candidate(self, way, layer, arrays, library):
        return {"two kernels": self.two_kernels, "Anderson2021": self.anderson2021}[way](layer, arrays, library)

    def anderson2021(self, layer, arrays, library):
        import torch

        import gpu_candidates
        n, h, w, c, f, k, m = (layer[key] for key in "nhwcfkm")
        rows, columns = output_size(layer)
        weights = [values.contiguous().to("cuda") for values in (arrays.depthwise, arrays.pointwise, arrays.bias)]
        result = torch.empty((n, rows, columns, f), device="cuda")
        call = self.function("Anderson2021", layer).bound(
            [(arrays.input.data_ptr(), (c, w, h, n)), (weights[0].data_ptr(), (m, c, k, k)), (weights[1].data_ptr(), (f, c * m)),
             (weights[2].data_ptr(), (f,)), (result.data_ptr(), (f, columns, rows, n))])
        context = current_context()

        def on_stream(weights=weights):  # which live as long as the call
            call(context, torch.cuda.current_stream().cuda_stream)

        return gpu_candidates.Candidate(on_stream, lambda _: result.permute(0, 3, 1, 2))

    def two_kernels(self, layer, arrays, library):
        """The product is this library's own, of a 1×1 window of ones."""
        import torch

        import gpu_candidates
        n, h, w, c, k, m = (layer[key] for key in "nhwckm")
        rows, columns = output_size(layer)
        taps, between = arrays.depthwise.contiguous().to("cuda"), torch.empty((n, rows, columns, c * m), device="cuda")
        depthwise = self.function("two kernels", layer).bound(
            [(arrays.input.data_ptr(), (c, w, h, n)), (taps.data_ptr(), (m, c, k, k)), (between.data_ptr(), (c * m, columns, rows, n))])
        context = current_context()
        product_layer = layer | {"h": rows, "w": columns, "c": c * m, "k": 1, "s": 1, "d": 1, "m": 1}
        product_arrays = types.SimpleNamespace(input=between, depthwise=torch.ones(1, 1, c * m, 1), pointwise=arrays.pointwise,
                                               bias=arrays.bias)
        product = gpu_candidates.our_candidate(library, product_layer, product_arrays, "channels_last")

        def call(taps=taps):
            depthwise(context, torch.cuda.current_stream().cuda_stream)
            product.call()

        return gpu_candidates.Candidate(call, product.output, product.close)


def main():
    root = pathlib.Path(__file__).resolve().parent.parent
    build = pathlib.Path(sys.argv[1]) if len(sys.argv) > 1 else root / "build/release"
    layers = [layer | {"n": batch} for batch in (1, 32) for layer in json.loads((root / "bench/layers.json").read_text())]
    failed = Kernels(root, build).prepare(layers, ["two kernels", "Anderson2021"])
    for (way, name, batch), error in failed.items():
        print(f"gpu_halide: {way}, {name}, n={batch}: {error}", file=sys.stderr)
    if failed:
        sys.exit(1)


if __name__ == "__main__":
    main()
