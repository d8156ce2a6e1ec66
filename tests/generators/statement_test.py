#!/usr/bin/env python3
"""Holds the lowered statement of separable_conv2d with packed weights to what its callers rely on: one parallel loop of a constant count,
and scratch of constant size inside it; and its assembly for each family of CPUs to a product that stays in registers.

    statement_test.py [TEST...]    with the path of the generators in SEPCONV_GENERATORS
"""
import os
import re
import subprocess
import sys
import tempfile
import unittest
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent.parent / "assembly"))
import loops  # noqa: E402

GENERATORS = os.environ["SEPCONV_GENERATORS"]
MANY_ROWS = {"height": 33, "width": 32, "channels": 64, "filters": 64}
MANY_FILTERS = {"height": 3, "width": 3, "channels": 256, "filters": 1024}
SMALL = {"height": 5, "width": 5, "channels": 8, "filters": 16}
OPEN = {"channels": 64, "filters": 64}
OPEN_HEIGHT = {"width": 40, "channels": 64, "filters": 64}
OPEN_WIDTH = {"height": 40, "channels": 64, "filters": 64, "dense": "false"}
PLANES = {"height": 57, "width": 56, "channels": 32, "filters": 64, "channels_first": "true", "form": "planes"}
TWO_HEIGHTS = {"height": 7, "width": 7, "channels": 1024, "filters": 1024}
UNEVEN_ROWS = {"height": 9, "width": 19, "channels": 288, "filters": 288, "kernel_height": 5, "kernel_width": 5}
TURNED = {"channels_first": "true", "form": "turned"}

TARGETS = {"avx512": "x86-64-linux-avx512_skylake-avx512-avx2-avx-f16c-fma-sse41", "avx2": "x86-64-linux-avx2-avx-f16c-fma-sse41",
           "sse41": "x86-64-linux-sse41", "baseline": "x86-64-linux", "arm": "arm-64-linux", "wasm": "wasm-32-wasmrt-wasm_simd128"}


def emitted(what, suffix, target, **params):
    """What the generator writes for a layer with packed weights and `same` padding."""
    words = [f"{name}={value}" for name, value in {"packed_weights": "true", "padding": "same", **params}.items()]
    with tempfile.TemporaryDirectory() as folder:
        subprocess.run([GENERATORS, "-g", "separable_conv2d", "-f", "layer", "-e", what, "-o", folder,
                        f"target={TARGETS[target]}-no_runtime-no_asserts-no_bounds_query", *words], check=True)
        return (Path(folder) / f"layer{suffix}").read_text()


def statement(target="avx2", **params):
    """Halide's lowered statement."""
    return emitted("stmt", ".stmt", target, **params)


def x86_products(text):
    """(name, vectors read from the stack or written to it) of each inner loop of the product."""
    with tempfile.NamedTemporaryFile("w", suffix=".s") as file:
        file.write(text)
        file.flush()
        return [(loop.name, len(loop.stack_reads + loop.stack_writes)) for loop in loops.inner_loops(file.name) if "for_pointwise" in loop.name]


def arm_products(text):
    """The same for arm-64."""
    lines, labels, found, start = text.splitlines(), {}, [], -1
    for i, line in enumerate(lines):
        if label := re.match(r"(\.LBB\d+_\d+):(?:\s*// %(.*))?", line):
            labels[label[1]] = i, label[2] or ""
        elif (jump := re.match(r"\s+(?:b\.\w+|cbn?z\s+\w+,)\s*(\.LBB\d+_\d+)", line)) and jump[1] in labels and labels[jump[1]][0] > start:
            start, name = labels[jump[1]]
            if "for_pointwise" in name:
                found.append((name, len([code for code in lines[start:i] if re.search(r"\b[qs]\d+, .*\[(?:sp|x29)", code)])))
    return found


def parallel_loops(text):
    """The extents of the parallel loops, as they are written."""
    return re.findall(r"halide_do_par_for\([^,]*, 0, ([^,]*),", text)


def allocations(text):
    """(function, name, extents as they are written) of what is allocated."""
    function, found = None, []
    for line in text.splitlines():
        if heading := re.match(r"(?:internal|external\w*) func (\w+)", line):
            function = heading[1]
        elif memory := re.match(r"\s*allocate (\S+)\[\w+ \* ([^\]]*)\]", line):
            found.append((function, memory[1], memory[2].split(" * ")))
    return found


class Threads(unittest.TestCase):
    def test_make_one_parallel_loop_of_at_most_as_many_turns(self):
        for sizes in (MANY_ROWS, MANY_FILTERS, TWO_HEIGHTS, PLANES):
            for threads in (2, 3, 4, 7):
                with self.subTest(threads=threads, **sizes):
                    loops = parallel_loops(statement(**sizes, threads=threads))
                    self.assertEqual(len(loops), 1)
                    self.assertIn(int(loops[0]), range(2, threads + 1))

    def test_share_rows_that_are_over_by_filters(self):
        for target in ("avx512", "avx2", "sse41", "arm"):
            for threads, more in ((2, {"height": 9}), (3, {"height": 7}), (4, {"height": 13}), (2, TURNED)):
                with self.subTest(target=target, threads=threads, **more):
                    rows, filters = parallel_loops(statement(target, **{**UNEVEN_ROWS, **more}, threads=threads))
                    self.assertEqual(rows, str(threads))
                    self.assertIn(int(filters), range(2, threads + 1))
        for even in ({**UNEVEN_ROWS, "height": 10}, MANY_ROWS):
            with self.subTest(**even):
                self.assertEqual(parallel_loops(statement(**even, threads=2)), ["2"])

    def test_make_one_parallel_loop_of_a_constant_count_for_open_sizes(self):
        for sizes in (OPEN, OPEN_HEIGHT, OPEN_WIDTH):
            with self.subTest(**sizes):
                self.assertEqual(parallel_loops(statement(**sizes, threads=3)), ["3"])

    def test_that_there_is_no_work_for_are_left_out(self):
        self.assertEqual(parallel_loops(statement(**SMALL, threads=8)), [])

    def test_one_makes_no_parallel_loop(self):
        for sizes in (MANY_ROWS, MANY_FILTERS, OPEN):
            with self.subTest(**sizes):
                self.assertEqual(parallel_loops(statement(**sizes, threads=1)), [])

    def test_have_scratch_of_their_own(self):
        for sizes, loops in ((MANY_ROWS, 1), (MANY_FILTERS, 1), (OPEN, 1), (PLANES, 1), (UNEVEN_ROWS, 2)):
            with self.subTest(**sizes):
                functions = [function for function, name, _ in allocations(statement(**sizes, threads=4)) if name.startswith("scratch")]
                self.assertEqual(len(set(functions)), loops)
                for function in functions:
                    self.assertIn("_par_for_", function)


class Scratch(unittest.TestCase):
    def test_has_a_constant_size(self):
        for sizes in (MANY_ROWS, MANY_FILTERS, SMALL, TWO_HEIGHTS, OPEN, OPEN_HEIGHT, OPEN_WIDTH, PLANES):
            for threads in (1, 4):
                with self.subTest(threads=threads, **sizes):
                    found = allocations(statement(**sizes, threads=threads))
                    self.assertIn("scratch", [name for _, name, _ in found])
                    for _, name, extents in found:
                        self.assertTrue(all(extent.isdigit() for extent in extents), f"{name}: {' * '.join(extents)}")


class Product(unittest.TestCase):
    def test_stays_in_registers_on_every_family(self):
        for target in ("avx512", "avx2", "sse41", "baseline", "arm"):
            for sizes in ({**OPEN, "height": 28, "width": 28}, OPEN, PLANES):
                with self.subTest(target=target, **sizes):
                    text = emitted("assembly", ".s", target, **sizes)
                    found = arm_products(text) if target == "arm" else x86_products(text)
                    self.assertNotEqual(found, [])
                    for name, on_stack in found:
                        self.assertEqual(on_stack, 0, name)

    def test_takes_lanes_of_a_register_on_arm(self):
        steps, vectors, rows, other_rows, steps_of_planes, sums_of_planes = 4, 2, 8, 7, 2, 16
        for sizes, least in ((OPEN, steps * vectors * (rows + other_rows)), (PLANES, steps_of_planes * sums_of_planes)):
            with self.subTest(**sizes):
                by_lane = re.findall(r"fmla\s+v\d+\.4s, v\d+\.4s, v\d+\.s\[\d\]", emitted("assembly", ".s", "arm", **sizes))
                self.assertGreaterEqual(len(by_lane), least)

    def test_is_made_for_webassembly(self):
        self.assertIn("f32x4.mul", emitted("assembly", ".s", "wasm", **OPEN))


if __name__ == "__main__":
    unittest.main()
