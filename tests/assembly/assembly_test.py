#!/usr/bin/env python3
"""Holds the assembly of the precompiled functions to what their schedules promise: nothing spilled, and multipliers that never wait.

    assembly_test.py [TEST...]    with the table in SEPCONV_TABLE, the architecture that was built for in SEPCONV_ARCHITECTURE, the folder
                                  of the build's assembly in SEPCONV_COMPILED, and the assembly of a product whose block does not fit the
                                  registers in SEPCONV_SPILLING
"""
import json
import os
import re
import subprocess
import sys
import unittest
from pathlib import Path

import loops

TABLE = json.loads(Path(os.environ["SEPCONV_TABLE"]).read_text())
COMPILED = Path(os.environ["SEPCONV_COMPILED"])
SPILLING = Path(os.environ["SEPCONV_SPILLING"])
TARGETS = [target["name"] for target in TABLE["targets"] if target["architecture"] == os.environ["SEPCONV_ARCHITECTURE"]]

# Of the cycles, in which the pipes that multiply and add are busy. Without a fused multiply-add each product also costs a copy, since a
# multiplication overwrites a factor, and a broadcast costs an instruction beside its load: together these fill all three ports of the
# model, on which any that takes another's place makes that one wait.
LEAST_BUSY = {"avx512": 0.95, "avx2": 0.95, "sse41": 0.75, "neon": 0.98, "neon_fp16": 0.98}
# On ARM the large cores differ so much that a block which fills one core's pipes is for what is left over on another: a full block has as
# many sums as the widest needs.
LEAST_SUMS = {target["name"]: target["sums"] for target in TABLE["targets"] if target["architecture"] == "arm-64"}
# Of the 3 x 3 depthwise stage inside the image, stride 1, in the same measure as LEAST_BUSY. On ARM a store takes a pipe that multiplies.
LEAST_BUSY_DEPTHWISE = {"neon": 0.80, "neon_fp16": 0.80}
# LLVM takes the model of Cortex-A57 for Cortex-A76, which loads one vector a cycle. In half precision, where that model multiplies two a
# cycle, the loads of the stage then take longer than its multiplications.
EXCUSED = {("neon_fp16", "cortex-a76")}


def functions(stage):
    """(row, target, the loops of its assembly) for each function of a stage."""
    for row in TABLE["rows"]:
        if row["stage"] == stage:
            for target in set(row["targets"]) & set(TARGETS):
                yield row, target, loops.inner_loops(COMPILED / f"sepconv_{row['name']}_{target}.s")


def main_loops(found):
    """The loops with the most multiplications: the others are for what is left over."""
    most = max(len(loop.multiplications) for loop in found)
    return [loop for loop in found if len(loop.multiplications) == most]


def by_cpu(found, target, mca):
    return {cpu: loops.busy(found, cpu, mca) for cpu in loops.CPUS[target]}


class Product(unittest.TestCase):
    def test_keeps_every_vector_in_registers(self):
        for row, target, found in functions("pointwise"):
            with self.subTest(row["name"], target=target):
                self.assertNotEqual(found, [])
                for loop in found:
                    self.assertEqual(loop.stack_reads + loop.stack_writes, [], f"{loop.label} {loop.name}")

    def test_keeps_the_multipliers_busy(self):
        mca = require_mca(self)
        for target in TARGETS:
            # One vector of filters uses each pixel once, so that loads hold it up; any two of both use each value twice.
            rows = [(row, main_loops(found)) for row, of, found in functions("pointwise") if of == target and row["params"]["vectors"] > 1]
            flat = [(row, loop) for row, found in rows for loop in found]
            for cpu, results in by_cpu([loop for _, loop in flat], target, mca).items():
                full = 0
                for (row, loop), result in zip(flat, results):
                    if row["params"]["vectors"] * row["params"]["rows"] < max(result.in_flight, LEAST_SUMS.get(target, 0)):
                        continue  # a block for what is left over, which waits for its own sums
                    full += 1
                    with self.subTest(row["name"], target=target, cpu=cpu):
                        self.assertGreaterEqual(result.share, LEAST_BUSY[target], f"{loop.label}: {result}")
                self.assertGreater(full, 0, f"{target}: no block is large enough for {cpu}")

    def test_would_be_seen_spilling(self):
        mca = require_mca(self)
        found = main_loops(loops.inner_loops(SPILLING))
        for loop in found:
            self.assertNotEqual(loop.stack_reads, [])
            self.assertNotEqual(loop.stack_writes, [])
        target = loops.features(found)
        shares = [result.share for results in by_cpu(found, target, mca).values() for result in results]
        self.assertLess(min(shares), LEAST_BUSY[target])

    def test_takes_its_factors_by_lane(self):
        if "neon" not in TARGETS:
            self.skipTest("multiply-adds of x86 have no form that takes a lane")
        for row, target, found in functions("pointwise"):
            for loop in main_loops(found):
                if row["params"]["rows"] == 1:
                    continue  # there a broadcast that loads costs no more
                with self.subTest(row["name"], target=target):
                    self.assertEqual([line for line in loop.body if re.match(r"dup|ld\dr|movi|mov\s+v", line)], [])
                    self.assertEqual([line for line in loop.multiplications if not re.search(r"v\d+\.[sh]\[\d\]$", line)], [])


class EveryFunction(unittest.TestCase):
    def test_of_neon_needs_no_arithmetic_in_half_precision(self):
        # Rows that convert are compiled as if there were, or Halide would convert by integer operations; the first ARMv8 has the
        # instructions that they then take, and no others.
        for row in TABLE["rows"]:
            if "neon" in row["targets"]:
                path = COMPILED / f"sepconv_{row['name']}_neon.s"
                with self.subTest(row["name"]):
                    ran = subprocess.run(["aarch64-linux-gnu-as", "-march=armv8-a", path, "-o", os.devnull], capture_output=True, text=True)
                    self.assertEqual(ran.stderr, "")
        half = subprocess.run(["aarch64-linux-gnu-as", "-march=armv8-a", COMPILED / "sepconv_pointwise_2x8_neon_fp16.s", "-o", os.devnull],
                              capture_output=True, text=True)
        self.assertIn("selected processor does not support", half.stderr)


class Depthwise(unittest.TestCase):
    def test_keeps_every_sum_in_registers(self):
        # The taps of a large window do not all fit beside the sums. The compiler copies them to the stack before the loop, and there the
        # loop reads them in place of the layer's weights, each at most once; but it writes nothing there.
        for row, target, found in functions("depthwise"):
            with self.subTest(row["name"], target=target):
                self.assertNotEqual(found, [])
                for loop in found:
                    self.assertEqual(loop.stack_writes, [], f"{loop.label} {loop.name}")
                    self.assertLessEqual(len(loop.stack_reads), row["params"].get("kernel", 0) ** 2, f"{loop.label} {loop.name}")

    def test_keeps_the_multipliers_busy_inside_the_image(self):
        mca = require_mca(self)
        if not set(TARGETS) & set(LEAST_BUSY_DEPTHWISE):
            self.skipTest(f"no bound is set for {', '.join(TARGETS)}")
        tried = 0
        for row, target, found in functions("depthwise"):
            if row["name"] not in ("depthwise_3x3_x7", "depthwise_3x3_strip_x7"):
                continue
            tried += 1
            for loop in main_loops(found):
                self.assertEqual(loop.stack_reads, [], f"{row['name']} {loop.label} {loop.name}")
            for cpu, results in by_cpu(main_loops(found), target, mca).items():
                for result in results if (target, cpu) not in EXCUSED else []:
                    with self.subTest(row["name"], target=target, cpu=cpu):
                        self.assertGreaterEqual(result.share, LEAST_BUSY_DEPTHWISE[target], str(result))
        self.assertGreater(tried, 0)


def require_mca(test):
    mca = loops.find_mca()
    if mca is None:
        test.skipTest("llvm-mca is not installed (Debian's llvm-19 has it; scripts/setup installs it)")
    return mca


if __name__ == "__main__":
    ran = unittest.main(exit=False, verbosity=2).result
    skipped = 77  # what CMake is told that a skipped test returns
    sys.exit(not ran.wasSuccessful() or (skipped if ran.skipped else 0))
