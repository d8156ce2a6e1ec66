#!/usr/bin/env python3
"""Times layers that `sepconv compile` made, with their height and width known and with them open, beside the precompiled functions.

    bench/compiled.py [--sepconv build/release/bin/sepconv] [--layers bench/layers.json] [--channels-first] [NAME...]

One thread. Each function is called some times in a row, so that it finds its weights where it left them: the two compiled ones in turn in one
program, the precompiled ones by `sepconv bench` between the rounds; of each the least time of all rounds counts.
"""
import argparse
import json
import resource
import subprocess
import tempfile
from pathlib import Path

import numpy as np

ROUNDS = 3

PROGRAM = """
#include "known.h"
#include "open.h"
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

static double now(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return t.tv_sec + 1e-9 * t.tv_nsec;
}

static void *memory(size_t bytes) { return aligned_alloc(64, (bytes + 127) / 64 * 64); }

int main(void) {
    float *input = memory(4 * (size_t)KNOWN_INPUT_SIZE), *output = memory(4 * (size_t)KNOWN_OUTPUT_SIZE);
    void *of_known = memory(KNOWN_WORKSPACE_BYTES), *of_open = memory(OPEN_WORKSPACE_BYTES);
    double known = 1e9, open = 1e9;
    for (size_t i = 0; i < KNOWN_INPUT_SIZE; i++) input[i] = (float)(i * 37 % 101) / 101;
    for (const double stop = now() + 1.5; now() < stop;) {
        for (int i = 0; i < 10; i++) {
            const double begin = now();
            known_with_workspace(input, output, of_known);
            const double taken = now() - begin;
            if (taken < known) known = taken;
        }
        for (int i = 0; i < 10; i++) {
            const double begin = now();
            open_with_workspace(input, output, KNOWN_INPUT_HEIGHT, KNOWN_INPUT_WIDTH, of_open);
            const double taken = now() - begin;
            if (taken < open) open = taken;
        }
    }
    printf("%g %g", known * 1e6, open * 1e6);
    return 0;
}
"""


def compile_layer(sepconv, folder, name, shape):
    """Returns the processor time that it took, in seconds."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    subprocess.run([sepconv, "compile", "--config", folder / "layer.json", "--weights", folder / "weights.npz", "--input-shape", shape, "--name", name,
                    "--no-threads", "--no-cache", "-o", folder], check=True, stderr=subprocess.DEVNULL)  # fmt: skip
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def precompiled(sepconv, folder, shape):
    """Microseconds, and the peak in 10⁹ operations a second."""
    said = subprocess.check_output([sepconv, "bench", "--config", folder / "layer.json", "--input-shape", shape, "--json", "--benchmark_min_time=0.7"])
    (found,) = json.loads(said)["benchmarks"]
    return found["real_time"] * {"ns": 1e-3, "us": 1, "ms": 1e3}[found["time_unit"]], found["peak_gflops"]


def time_layer(sepconv, layer, channels_first, folder):
    channels, kernel = layer["c"], layer["k"]
    config = {"name": "layer", "filters": layer["f"], "kernel_size": kernel, "strides": layer["s"], "dilation_rate": layer["d"],
              "depth_multiplier": layer["m"], "padding": "same", "activation": "relu",
              "data_format": "channels_first" if channels_first else "channels_last"}  # fmt: skip
    (folder / "layer.json").write_text(json.dumps(config))
    random = np.random.default_rng(0)
    inner = channels * layer["m"]
    np.savez(folder / "weights.npz", depthwise_kernel=random.standard_normal((kernel, kernel, channels, layer["m"]), np.float32),
             pointwise_kernel=random.standard_normal((1, 1, inner, layer["f"]), np.float32), bias=random.standard_normal(layer["f"], np.float32))  # fmt: skip
    shapes = [f"1,{channels},{rows},{columns}" if channels_first else f"1,{rows},{columns},{channels}"
              for rows, columns in ((layer["h"], layer["w"]), ("?", "?"))]  # fmt: skip
    seconds = max(compile_layer(sepconv, folder, name, shape) for name, shape in zip(("known", "open"), shapes))
    (folder / "main.c").write_text(PROGRAM)
    subprocess.run(["cc", "-O2", folder / "main.c", folder / "known.a", folder / "open.a", "-I", folder, "-lm", "-o", folder / "main"], check=True)
    rounds = [(precompiled(sepconv, folder, shapes[0]), [float(word) for word in subprocess.check_output([folder / "main"]).split()]) for _ in range(ROUNDS)]
    least, peak = min(each[0][0] for each in rounds), max(each[0][1] for each in rounds)
    known, opened = (min(each[1][i] for each in rounds) for i in (0, 1))
    rows, columns = (-(-layer[side] // layer["s"]) for side in ("h", "w"))
    operations = 2 * rows * columns * inner * (kernel * kernel + layer["f"])
    return least, known, opened, operations / known / 1e3 / peak, seconds


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sepconv", default="build/release/bin/sepconv")
    parser.add_argument("--layers", default="bench/layers.json")
    parser.add_argument("--channels-first", action="store_true")
    parser.add_argument("names", nargs="*")
    arguments = parser.parse_args()
    print("| layer | precompiled: µs | compiled: µs | of the peak | precompiled ÷ it | open: µs | it ÷ precompiled | compile: s |")
    print("|---|---|---|---|---|---|---|---|")
    for layer in json.loads(Path(arguments.layers).read_text()):
        if arguments.names and layer["name"] not in arguments.names:
            continue
        with tempfile.TemporaryDirectory() as folder:
            least, known, opened, share, seconds = time_layer(arguments.sepconv, layer, arguments.channels_first, Path(folder))
        print(f"| {layer['name']} | {least:.4g} | {known:.4g} | {share:.1%} | {least / known:.2f} | {opened:.4g} | {opened / least:.2f} | {seconds:.1f} |",
              flush=True)  # fmt: skip


if __name__ == "__main__":
    main()
