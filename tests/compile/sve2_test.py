#!/usr/bin/env python3
"""Why `sepconv compile` refuses sve2: the smallest program that Halide compiles wrongly for it. It fails as soon as Halide compiles it
rightly, and then sve2 may be allowed again, if all other tests pass with it.

    sve2_test.py    with a folder of its own in WORK; run by a Python that has Halide's bindings
"""
import os
import shutil
import subprocess
import sys
import unittest
from pathlib import Path

WORK = Path(os.environ["WORK"])
COMPILER, EMULATOR = "aarch64-linux-gnu-gcc", "qemu-aarch64"
# Vectors of 4 floats are half of the machine's.
TARGET, CPU, LANES, COUNT = "arm-64-linux-sve2-vector_bits_256-no_runtime-no_asserts-no_bounds_query", "max,sve-max-vq=2", 4, 16

PROGRAM = f"""
#include <stdio.h>
#include "HalideRuntime.h"
#include "twice.h"

int main(void) {{
    float from[{COUNT}], to[{COUNT}];
    struct halide_dimension_t place = {{0, {COUNT}, 1, 0}};
    struct halide_buffer_t input = {{0}}, output = {{0}};
    int i;
    for (i = 0; i < {COUNT}; i++) {{
        from[i] = (float)(i + 1);
        to[i] = -1;
    }}
    input.host = (uint8_t *)from, output.host = (uint8_t *)to;
    input.dimensions = output.dimensions = 1;
    input.dim = output.dim = &place;
    if (twice(&input, &output) != 0) return 1;
    for (i = 0; i < {COUNT}; i++) printf("%g ", to[i]);
    return 0;
}}
"""


class Sve2(unittest.TestCase):
    def result(self, target, cpu):
        """out(x) = in(x) * 2, compiled for a target and run on a CPU."""
        import halide

        x, numbers, twice = halide.Var("x"), halide.ImageParam(halide.Float(32), 1, "numbers"), halide.Func("twice")
        twice[x] = numbers[x] * 2
        twice.vectorize(x, LANES)
        shutil.rmtree(WORK, ignore_errors=True)
        WORK.mkdir(parents=True)
        kinds = {halide.OutputFileType.object: str(WORK / "twice.o"), halide.OutputFileType.c_header: str(WORK / "twice.h")}
        twice.compile_to(kinds, [numbers], "twice", halide.Target(target))
        (WORK / "main.c").write_text(PROGRAM)
        subprocess.run([COMPILER, "-static", "-I", Path(halide.__file__).parent / "include", WORK / "main.c", WORK / "twice.o", "-o", WORK / "main"], check=True)
        done = subprocess.run([EMULATOR, "-cpu", cpu, WORK / "main"], check=True, capture_output=True, text=True)
        return [float(word) for word in done.stdout.split()]

    def test_beyond_128_bits_is_still_wrong(self):
        right = [2.0 * (i + 1) for i in range(COUNT)]
        # What shows that nothing else in this test is wrong.
        self.assertEqual(self.result("arm-64-linux-no_runtime-no_asserts-no_bounds_query", CPU), right)
        self.assertNotEqual(self.result(TARGET, CPU), right,
                            "this Halide compiles half a vector of sve2 rightly: it may be allowed again (compiler/target.cpp)")


if __name__ == "__main__":
    skipped = 77  # what CMake is told that a skipped test returns
    missing = [tool for tool in (COMPILER, EMULATOR) if shutil.which(tool) is None]
    try:
        import halide  # noqa: F401
    except ImportError:
        missing.append("Halide's Python bindings")
    if missing:
        print(f"skipped: {', '.join(missing)} not installed (scripts/setup --with-arm installs them)")
        sys.exit(skipped)
    unittest.main(verbosity=2)
