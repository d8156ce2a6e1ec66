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

import compiled_layer
import report

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


def seconds_of(compile_one):
    """The processor time that it took."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    compile_one()
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def precompiled(sepconv, folder, shape):
    """Microseconds, and the peak in 10⁹ operations a second."""
    said = subprocess.check_output([sepconv, "bench", "--config", folder / "config.json", "--input-shape", shape, "--json", "--benchmark_min_time=0.7"])
    (found,) = json.loads(said)["benchmarks"]
    return found["real_time"] * {"ns": 1e-3, "us": 1, "ms": 1e3}[found["time_unit"]], found["peak_gflops"]


def time_layer(sepconv, layer, channels_first, folder):
    layer = layer | {"data_format": "channels_first" if channels_first else "channels_last"}
    random = np.random.default_rng(0)
    compiled_layer.write(layer, folder, lambda _, count: random.standard_normal(count, np.float32))
    shapes = [compiled_layer.input_shape(layer, *sides) for sides in ((), ("?", "?"))]
    seconds = max(seconds_of(lambda: compiled_layer.compile_layer(sepconv, folder, name, shape, "--no-threads", "--no-cache"))
                  for name, shape in zip(("known", "open"), shapes))  # fmt: skip
    (folder / "main.c").write_text(PROGRAM)
    subprocess.run(["cc", "-O2", folder / "main.c", folder / "known.a", folder / "open.a", "-I", folder, "-lm", "-o", folder / "main"], check=True)
    rounds = [(precompiled(sepconv, folder, shapes[0]), [float(word) for word in subprocess.check_output([folder / "main"]).split()]) for _ in range(ROUNDS)]
    least, peak = min(each[0][0] for each in rounds), max(each[0][1] for each in rounds)
    known, opened = (min(each[1][i] for each in rounds) for i in (0, 1))
    return least, known, opened, report.operations(layer) / known / 1e3 / peak, seconds


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
