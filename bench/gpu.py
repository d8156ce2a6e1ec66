"""Measures layers on a CUDA device, in one process: this library by its C interface, Halide's own ways, and PyTorch's. Called by bench/gpu.

Every candidate's output is held to ours before it is timed. A time is that of a CUDA graph of many calls between two events, by their
number; the candidates take turns, and the least counts. docs/benchmarks.md says what the figures are.
"""

import argparse
import ctypes
import datetime
import json
import math
import pathlib
import subprocess
import sys
import time

import torch

import gpu_candidates
import gpu_halide
import gpu_library
import gpu_report
import report

BENCH = pathlib.Path(__file__).resolve().parent
ROOT = BENCH.parent
GRAPH_SECONDS = 4e-3  # of one graph's calls, so that starting it counts for little
FEW_CALLS, MOST_CALLS = 5, 1000
WARM_SECONDS = 0.05
ENQUEUED = 64  # calls at once where the CPU's part is timed: fewer than fill the driver's queue


def allow_tf32(allowed):
    torch.backends.cuda.matmul.allow_tf32 = allowed
    torch.backends.cudnn.allow_tf32 = allowed


# ---- timing

def difference(found, expected):
    """Of the largest output."""
    return ((found.float() - expected.float()).abs().max() / expected.float().abs().max()).item()


def seconds_between(work):
    start, stop = torch.cuda.Event(enable_timing=True), torch.cuda.Event(enable_timing=True)
    start.record()
    work()
    stop.record()
    stop.synchronize()
    return start.elapsed_time(stop) / 1e3


def captured(candidate):
    """A CUDA graph of some milliseconds of calls, and their number."""
    stream = torch.cuda.Stream()
    stream.wait_stream(torch.cuda.current_stream())
    with torch.cuda.stream(stream):
        for _ in range(3):  # what allocates, chooses and compiles comes before the capture, and on its stream
            candidate.call()
    torch.cuda.synchronize()

    def capture(count):
        graph = torch.cuda.CUDAGraph()
        with torch.cuda.stream(stream):
            graph.capture_begin(capture_error_mode="thread_local")
            try:
                for _ in range(count):
                    candidate.call()
            finally:
                graph.capture_end()
        graph.replay()  # the first one brings it to the device
        torch.cuda.synchronize()
        return graph

    few = capture(FEW_CALLS)
    count = min(MOST_CALLS, max(FEW_CALLS, math.ceil(GRAPH_SECONDS * FEW_CALLS / seconds_between(few.replay))))
    graph = few if count == FEW_CALLS else capture(count)
    end = time.monotonic() + WARM_SECONDS
    while time.monotonic() < end:
        graph.replay()
        torch.cuda.synchronize()
    return graph, count


def enqueue_seconds(candidate):
    """What the CPU spends on one call, while the device works on those before it."""
    least = math.inf
    for _ in range(5):
        torch.cuda.synchronize()
        start = time.perf_counter()
        for _ in range(ENQUEUED):
            candidate.call()
        least = min(least, (time.perf_counter() - start) / ENQUEUED)
    torch.cuda.synchronize()
    return least


def first_line(error):
    text = str(error).strip().splitlines()
    return f"{type(error).__name__}: {text[0][:160]}" if text else type(error).__name__


def measure(layer, mode, library, kernels, options):
    """One line of the results."""
    dtype = torch.float16 if mode == "float16" else torch.float32
    allow_tf32(mode == "TF32")
    arrays = gpu_candidates.Arrays(layer, dtype, "cuda")
    line = {"layer": layer, "mode": mode, "seconds": {}, "enqueue_seconds": {}, "differences": {}, "failed": {}, "plans": {}}
    makers = {data_format: lambda data_format=data_format: gpu_candidates.our_candidate(library, layer, arrays, data_format)
              for data_format in gpu_report.OURS}
    if mode == "float32":
        makers |= {way: lambda way=way: kernels.candidate(way, layer, arrays, library) for way in gpu_report.HALIDE if way in options.ways}
    makers |= gpu_candidates.torch_candidates(layer, arrays, options.compile_mode)
    ready, graphs, reference = {}, {}, None
    for column, make in makers.items():
        ours = column in gpu_report.OURS
        try:
            candidate = make()
            found = candidate.output(candidate.call())
            torch.cuda.synchronize()
        except Exception as error:  # a peer that cannot compute a layer has no time; ours must
            if ours:
                raise
            line["failed"][column] = first_line(error)
            continue
        if reference is None:
            reference = found.clone()
        line["differences"][column] = difference(found, reference)
        if not gpu_report.is_close(line["differences"][column], mode):
            raise SystemExit(f"gpu: {layer['name']}, {mode}: {column} differs from ours by {line['differences'][column]:.1e} of the "
                             "largest output")
        try:
            graphs[column] = captured(candidate)
        except Exception as error:
            if ours:
                raise
            line["failed"][column] = first_line(error)
            candidate.close()
            continue
        ready[column] = candidate
        if ours:
            line["plans"][column] = candidate.plan
    for _ in range(options.rounds):
        for column, (graph, count) in graphs.items():
            seconds = seconds_between(graph.replay) / count
            line["seconds"][column] = min(line["seconds"].get(column, math.inf), seconds)
    if layer["n"] == 1:
        line["enqueue_seconds"] = {column: enqueue_seconds(candidate) for column, candidate in ready.items()}
    torch.cuda.synchronize()
    graphs.clear()
    for candidate in ready.values():
        candidate.close()
    return line


def limits():
    """Bytes a second of a copy within the device's memory, and operations a second of a large product in float32."""
    allow_tf32(False)
    free, _ = torch.cuda.mem_get_info()
    count = min(1 << 30, free // 4) // 4
    source, copy = (torch.zeros(count, device="cuda") for _ in range(2))
    size = 8192
    a, b = (torch.rand(size, size, device="cuda") for _ in range(2))
    product = torch.empty(size, size, device="cuda")
    torch.mm(a, b, out=product)

    def least(work):
        return min(seconds_between(work) for _ in range(10))

    return {"copy": 2 * 4 * count / least(lambda: copy.copy_(source)), "copy_bytes": 4 * count, "sgemm_size": size,
            "multiply_adds": 2 * size**3 / least(lambda: torch.mm(a, b, out=product))}


# ---- the command

def asked(function, *arguments):
    """A number that the driver answers with."""
    answer = ctypes.c_int()
    code = getattr(ctypes.CDLL("libcuda.so.1"), function)(ctypes.byref(answer), *arguments)
    if code != 0:
        raise SystemExit(f"gpu: {function} failed with {code}")
    return answer.value


def driver_version():
    try:
        command = ["nvidia-smi", "--query-gpu=driver_version", "--format=csv,noheader"]
        return subprocess.run(command, check=True, capture_output=True, text=True).stdout.split()[0]
    except (OSError, subprocess.CalledProcessError, IndexError):
        version = asked("cuDriverGetVersion")
        return f"for CUDA {version // 1000}.{version % 1000 // 10}"


def device():
    l2_cache_size = 38  # CU_DEVICE_ATTRIBUTE_L2_CACHE_SIZE; which older PyTorch does not know
    found = torch.cuda.get_device_properties(0)
    return {"name": found.name, "capability": f"{found.major}.{found.minor}", "multiprocessors": found.multi_processor_count,
            "memory_bytes": found.total_memory, "l2_bytes": asked("cuDeviceGetAttribute", l2_cache_size, 0), "driver": driver_version()}


def layers_of(options):
    return [layer | {"n": batch} for batch in options.batches for layer in json.loads((BENCH / "layers.json").read_text())
            if options.filter in layer["name"]]


def measure_all(library, options):
    torch.backends.cudnn.benchmark = True
    kernels = gpu_halide.Kernels(ROOT, options.build)
    kernels.prepare(layers_of(options) if "float32" in options.modes else [], options.ways)
    results = {"date": datetime.date.today().isoformat(), "device": device(), "compile_mode": options.compile_mode,
               "versions": {"this library": library.version(), "PyTorch": torch.__version__, "CUDA": torch.version.cuda,
                            "cuDNN": str(torch.backends.cudnn.version())},
               "rounds": options.rounds, "limits": limits(), "columns": [], "lines": []}
    with torch.no_grad():
        for mode in options.modes:
            for layer in layers_of(options):
                line = measure(layer, mode, library, kernels, options)
                results["lines"].append(line)
                results["columns"] += [column for column in line["seconds"] if column not in results["columns"]]
                print(gpu_report.progress(line), file=sys.stderr, flush=True)
                torch.cuda.empty_cache()
                if options.partial:
                    gpu_report.write(results, options.output)
    # What limits the clock has changed meanwhile.
    again = limits()
    for key in ("copy", "multiply_adds"):
        results["limits"][key] = max(results["limits"][key], again[key])
    return results


def words(known):
    def parse(text):
        chosen = [word for word in text.split(",") if word]
        for word in chosen:
            if word not in known:
                raise argparse.ArgumentTypeError(f"expected some of {','.join(known)}, found {word}")
        return chosen
    return parse


def parse_arguments(arguments):
    parser = argparse.ArgumentParser(prog="bench/gpu", description="Measures this library beside PyTorch on a CUDA device.")
    parser.add_argument("--modes", type=words(gpu_report.MODES), default=list(gpu_report.MODES),
                        help=f"some of {','.join(gpu_report.MODES)}")
    parser.add_argument("--batches", type=lambda text: [int(word) for word in text.split(",")], default=[1, 32], help="(1,32)")
    parser.add_argument("--ways", type=words(gpu_report.HALIDE), default=gpu_report.HALIDE,
                        help=f"of Halide's own, some of {','.join(gpu_report.HALIDE)}, or none of them: ''")
    parser.add_argument("--compile-mode", choices=["default", "max-autotune-no-cudagraphs", "none"], default="default",
                        help="of torch.compile (default); all calls are captured into graphs here, so that reduce-overhead is the default")
    parser.add_argument("--rounds", type=int, default=20, help="of which the least counts (20)")
    parser.add_argument("--filter", default="", help="only layers with this in their name")
    parser.add_argument("--build", type=pathlib.Path, default=ROOT / "build/release", help="a build of this tree (build/release)")
    parser.add_argument("--partial", action="store_true", help="write after every layer what there is")
    parser.add_argument("--output", type=pathlib.Path, default=ROOT / "docs/benchmarks",
                        help="a folder for gpu.json; the tables go into the page of its name (docs/benchmarks)")
    options = parser.parse_args(arguments)
    if not layers_of(options):
        parser.error(f"--filter: expected a part of the name of a layer in layers.json, found {options.filter!r}")
    return options


def ready_library(options):
    file = gpu_library.find(options.build)
    if file is None:
        raise SystemExit(f"gpu: expected libsepconv.so in {options.build}; build it first: cmake --build --preset release")
    if not torch.cuda.is_available():
        raise SystemExit(f"gpu: expected a CUDA device, found none that PyTorch {torch.__version__} sees")
    library = gpu_library.Library(file)
    torch.zeros(1, device="cuda")  # makes PyTorch's context current, which the library then works in
    why = library.why_not("cuda")
    if why:
        raise SystemExit(f"gpu: expected a device that this library's layers run on, found none: {why}")
    return library


def main():
    options = parse_arguments(sys.argv[1:])
    results = measure_all(ready_library(options), options)
    gpu_report.write(results, options.output)
    print(gpu_report.page(results))


if __name__ == "__main__":
    main()
