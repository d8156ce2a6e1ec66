"""bench/count_instructions.c, qemu's plugin, on small programs whose every instruction is known.

Returns 77, which is "skipped" to CTest, where qemu-aarch64 or a cross compiler is missing.
"""

import pathlib
import shutil
import subprocess
import sys
import tempfile
import unittest

PLUGIN = pathlib.Path(__file__).resolve().parents[2] / "bench/count_instructions.c"
TOOLS = {"qemu-aarch64": "qemu-user", "aarch64-linux-gnu-gcc": "gcc-aarch64-linux-gnu", "cc": "gcc"}

EXIT = "mov x0, #0\nmov x8, #93\nsvc #0\n"
WRITE = "mov x0, #1\nmov x2, #0\nmov x8, #64\nsvc #0\n"


def loop(body, turns=1000):
    """`turns` times the body and two more, after one."""
    return f"mov x9, #{turns}\n1:\n{body}\nsubs x9, x9, #1\nb.ne 1b\n"


class Plugin(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        folder = tempfile.TemporaryDirectory()
        cls.addClassCleanup(folder.cleanup)
        cls.folder = pathlib.Path(folder.name)
        subprocess.run(["cc", "-O2", "-Wall", "-Wextra", "-Werror", "-shared", "-fPIC", "-o", cls.folder / "plugin.so", PLUGIN], check=True)

    def lines(self, program):
        """The plugin's numbers, a tuple for each line."""
        source, counts = self.folder / "program.s", self.folder / "counts"
        source.write_text(f".arch armv8.6-a+fp16+sve+sme\n.globl _start\n_start:\n{program}{EXIT}")
        counts.unlink(missing_ok=True)
        subprocess.run(["aarch64-linux-gnu-gcc", "-nostdlib", "-static", "-o", self.folder / "program", source], check=True)
        subprocess.run(["qemu-aarch64", "-cpu", "max", "-plugin", f"{self.folder}/plugin.so,counts={counts}", self.folder / "program"], check=True)
        return [tuple(map(int, line.split())) for line in counts.read_text().splitlines()]

    def in_loop(self, body):
        """What a turn with the body adds to a turn without it."""
        (with_it,), (without,) = self.lines(loop(body)), self.lines(loop(""))
        differences = [a - b for a, b in zip(with_it, without)]
        self.assertTrue(all(difference % 1000 == 0 for difference in differences), differences)
        return [difference // 1000 for difference in differences]

    def test_counts_every_turn_of_a_loop(self):
        self.assertEqual(self.lines(loop("add x1, x1, #1")), [(1 + 1000 * 3 + 3, 0, 0, 0)])

    def test_counts_the_same_again(self):
        self.assertEqual(self.lines(loop("add x1, x1, #1")), self.lines(loop("add x1, x1, #1")))

    def test_says_the_count_at_every_write(self):
        # What precedes a write, and the write's own four.
        before, between, end = self.lines(f"nop\n{WRITE}{loop('add x1, x1, #1', 7)}{WRITE}")
        self.assertEqual([before[0], between[0] - before[0], end[0] - between[0]], [1 + 4, 1 + 7 * 3 + 4, 3])

    def test_tells_multiplications_of_four_floats(self):
        for operation in ("fmla", "fmls", "fmul"):
            for factor in ("v2.4s", "v2.s[0]", "v31.s[3]"):
                with self.subTest(operation, factor=factor):
                    self.assertEqual(self.in_loop(f"{operation} v0.4s, v1.4s, {factor}"), [1, 1, 0, 0])

    def test_tells_nothing_else_for_one(self):
        for other in ("fmla v0.2s, v1.2s, v2.2s", "fmla v0.2s, v1.2s, v2.s[1]", "fmla v0.2d, v1.2d, v2.2d", "fmla v0.2d, v1.2d, v2.d[1]",
                      "fmla v0.8h, v1.8h, v2.8h", "fmla v0.8h, v1.8h, v2.h[1]", "fadd v0.4s, v1.4s, v2.4s", "fmulx v0.4s, v1.4s, v2.4s",
                      "fmul s0, s1, s2", "fmadd s0, s1, s2, s3", "mul v0.4s, v1.4s, v2.4s", "mla v0.4s, v1.4s, v2.s[1]"):
            with self.subTest(other):
                self.assertEqual(self.in_loop(other), [1, 0, 0, 0])

    def test_tells_loads_and_stores(self):
        for access in ("ldr x1, [sp]", "str w1, [sp, #-16]", "ldp q1, q2, [sp, #-32]", "ld1 {v1.4s}, [sp]", "ld1r {v1.4s}, [sp]",
                       "stp q1, q2, [sp, #-32]", "ldr w1, _start", "ldrb w1, [sp, x2]", "prfm pldl1keep, [sp]", "ldxr x1, [sp]"):
            with self.subTest(access):
                self.assertEqual(self.in_loop(access), [1, 0, 1, 0])

    def test_tells_scalable_vectors(self):
        for scalable in ("ptrue p0.s", "fmla z0.s, p0/m, z1.s, z2.s", "fadd z0.s, z1.s, z2.s"):
            with self.subTest(scalable):
                self.assertEqual(self.in_loop(scalable), [1, 0, 0, 1])

    def test_tells_scalable_matrices(self):
        self.assertEqual(self.in_loop("smstart\nfmopa za0.s, p0/m, p1/m, z0.s, z1.s\nsmstop"), [3, 0, 0, 1])


if __name__ == "__main__":
    for tool, package in TOOLS.items():
        if not shutil.which(tool):
            print(f"skipped: {tool} is not installed (Debian's {package} has it; scripts/setup installs it)")
            sys.exit(77)
    unittest.main()
