#!/usr/bin/env python3
"""Holds the loops of layers that are compiled for 64-bit ARM to what their schedules promise, by llvm-mca's models of large cores
(tests/assembly/loops.py): nothing is spilled, factors are taken by lane, and the pipes that multiply never wait.

    assembly_test.py [TEST...]    with the command in SEPCONV, the tree in SOURCE and a folder of its own in WORK
    assembly_test.py --figures    prints what each loop reaches
"""
import json
import os
import re
import shutil
import sys
import unittest
from functools import cache
from pathlib import Path

import layers

sys.path.insert(0, str(Path(__file__).parent.parent / "assembly"))
import loops  # noqa: E402

WORK = Path(os.environ["WORK"])
SHAPES = {layer["name"]: layer for layer in json.loads((layers.SOURCE / "bench" / "layers.json").read_text())}
LAYERS = ["mbv1-112x112-32-64-s1", "mbv1-56x56-128-128-s1", "mbv1-28x28-256-512-s2", "mbv1-14x14-512-512-s1", "xcep-19x19-728-728-s1",
          "effn-28x28-240-40-k5"]
# How a layer is compiled: its dtype, and the command's options.
FORMS = {"float32": ("float32", ["--target", "arm-64-linux"]), "float16 in float32": ("float16", ["--target", "arm-64-linux"]),
         "float16": ("float16", ["--target", "arm-64-linux-arm_fp16", "--arithmetic", "float16"])}

# Of the cycles, in which the pipes that multiply are busy: in the product, and in the 3 x 3 depthwise stage inside the image, where a store
# takes a pipe that multiplies.
LEAST_BUSY, LEAST_BUSY_DEPTHWISE = 0.98, 0.80


@cache
def loops_of(name, form):
    """The loops of the two pipelines, for dense images and for others."""
    shape, (dtype, options) = SHAPES[name], FORMS[form]
    config, _ = layers.random_layer(1, 1, shape["f"], kernel_size=[shape["k"]] * 2, strides=[shape["s"]] * 2, dilation_rate=[shape["d"]] * 2,
                                    depth_multiplier=shape["m"], padding="same", dtype=dtype)
    out = WORK / f"{name}_{form}".replace(" ", "_")
    shutil.rmtree(out, ignore_errors=True)
    layers.compile_layer(*layers.config_options(out / "in", config), "--input-shape", f"1,{shape['h']},{shape['w']},{shape['c']}", "--no-threads",
                         "--emit", "asm", *options, output=out)
    return loops.inner_loops(out / "layer.s")


def product(found):
    return [loop for loop in found if "pointwise" in loop.name]


def depthwise(found):
    """Its loops with the most multiplications: the others are for the border."""
    found = [loop for loop in found if "pointwise" not in loop.name and loop.jumps_back == 1]
    most = max(len(loop.multiplications) for loop in found)
    return [loop for loop in found if len(loop.multiplications) == most]


def sums(loop):
    """The accumulators of a loop."""
    return len({line.split()[1] for line in loop.multiplications})


def shares(found, mca):
    """(model, loop, what the model makes of it)"""
    for cpu in loops.CPUS["neon"]:
        for loop, result in zip(found, loops.busy(found, cpu, mca)):
            yield cpu, loop, result


EVERY = [(name, form) for name in LAYERS for form in FORMS]


def require_mca(test):
    mca = loops.find_mca()
    if mca is None:
        test.skipTest("llvm-mca is not installed (Debian's llvm-19 has it; scripts/setup installs it)")
    return mca


class Product(unittest.TestCase):
    def test_keeps_the_multipliers_busy(self):
        mca, full = require_mca(self), dict.fromkeys(FORMS, 0)
        for name, form in EVERY:
            for cpu, loop, result in shares(product(loops_of(name, form)), mca):
                # Fewer sums than a core's pipes have additions under way wait for each other. That is what is left over of a tile.
                if sums(loop) < result.in_flight:
                    continue
                full[form] += 1
                with self.subTest(name, form=form, cpu=cpu):
                    self.assertGreaterEqual(result.share, LEAST_BUSY, f"{loop.label}: {result}")
        for form in FORMS:
            self.assertGreaterEqual(full[form], len(LAYERS) * len(loops.CPUS["neon"]), f"{form}: too few blocks fill the pipes")

    def test_spills_nothing(self):
        for name, form in EVERY:
            found = loops_of(name, form)
            self.assertNotEqual(product(found), [])
            for loop in product(found) + depthwise(found):
                with self.subTest(name, form=form, loop=loop.name):
                    self.assertEqual(loop.stack_reads + loop.stack_writes, [])

    def test_takes_its_factors_by_lane(self):
        for name, form in EVERY:
            by_lane = re.compile(r"v\d+\.%s\[\d\]$" % ("h" if form == "float16" else "s"))
            for loop in product(loops_of(name, form)):
                with self.subTest(name, form=form, loop=loop.name):
                    self.assertEqual([line for line in loop.body if re.match(r"dup|ld\dr|movi|mov\s+v", line)], [])
                    self.assertEqual([line for line in loop.multiplications if not by_lane.search(line)], [])


class Depthwise(unittest.TestCase):
    def test_keeps_the_multipliers_busy_inside_the_image(self):
        mca = require_mca(self)
        for name in LAYERS:
            if SHAPES[name]["k"] != 3 or SHAPES[name]["s"] != 1:
                continue
            for cpu, loop, result in shares(depthwise(loops_of(name, "float32")), mca):
                with self.subTest(name, cpu=cpu, loop=loop.name):
                    self.assertGreaterEqual(result.share, LEAST_BUSY_DEPTHWISE, f"{loop.label}: {result}")


def figures():
    mca = loops.find_mca()
    for name in LAYERS:
        for form in FORMS:
            found = loops_of(name, form)
            for stage, chosen in (("depthwise", depthwise(found)), ("product", product(found))):
                for loop in chosen:
                    by_cpu = {cpu: result.share for cpu, _, result in shares([loop], mca)}
                    print(f"{name:24} {form:19} {stage:10} {len(loop.multiplications):4} multiplications {sums(loop):3} sums  stack "
                          f"{len(loop.stack_reads):2}/{len(loop.stack_writes):2}  " + "  ".join(f"{cpu} {share:.1%}" for cpu, share in by_cpu.items()))


if __name__ == "__main__":
    if "--figures" in sys.argv:
        figures()
        sys.exit()
    ran = unittest.main(exit=False, verbosity=2).result
    skipped = 77  # what CMake is told that a skipped test returns
    sys.exit(not ran.wasSuccessful() or (skipped if ran.skipped else 0))
