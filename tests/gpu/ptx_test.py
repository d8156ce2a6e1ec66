#!/usr/bin/env python3
"""Holds the CUDA kernels of CMakeLists.txt to what their schedule promises, without a GPU.

    ptx_test.py [TEST...]    with the folder of the compiled layers in SEPCONV_GPU_LAYERS, that of the table's functions in SEPCONV_GPU_ROWS,
                             the table in SEPCONV_TABLE and the path of ptxas in SEPCONV_PTXAS
"""
import json
import os
import re
import subprocess
import tempfile
import unittest
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

LAYERS = Path(os.environ["SEPCONV_GPU_LAYERS"])
# Halide's CUDA runtime lets a thread have so many.
REGISTERS = 64
# A thread can't have more.
MOST_REGISTERS = 255
# With so many in the functions over open strides, a multiprocessor has room for 1280 threads.
OPEN_REGISTERS = 48
# Depthwise channels that a thread reads at once; so many more lie between pixels in shared memory.
LANES = 4
SHARED_BYTES_OF_EVERY_DEVICE = 48 * 1024
# What schedules/gpu.cpp promises of every block.
THREADS, SHARED_BYTES = 128, 32 * 1024


def compiled(folder):
    """(name, object, lowered statement) of each function that was compiled for CUDA."""
    found = [(path.stem, path, path.with_suffix(".stmt")) for path in sorted(folder.glob("cuda_*.o"))]
    if not found:
        raise ValueError(f"{folder}: expected objects compiled for CUDA, found none; build the target ptx_test")
    return found


def layers():
    return compiled(LAYERS)


def open_functions():
    """Those of gpu_finish and gpu_axes, whose strides are open."""
    return compiled(LAYERS / "open")


def ptx(path):
    """The source of an object's kernels."""
    code = path.read_bytes()
    begin = code.find(b".version")
    if begin < 0:
        raise ValueError(f"{path}: expected PTX, found none")
    return code[begin : code.index(b"\0", begin)].decode()


def assemble(path, machine, registers):
    """{kernel: (bytes of the stack, bytes spilled, registers)}, as ptxas tells them."""
    assembler = os.environ.get("SEPCONV_PTXAS", "")
    if not Path(assembler).is_file():
        raise ValueError("expected ptxas of CUDA 13, found none; scripts/setup installs it")
    with tempfile.TemporaryDirectory() as folder:
        source = Path(folder, "kernels.ptx")
        source.write_text(ptx(path))
        command = [assembler, "-v", f"-arch={machine}", f"-maxrregcount={registers}", str(source), "-o", str(Path(folder, "kernels.cubin"))]
        ran = subprocess.run(command, capture_output=True, text=True)
    if ran.returncode != 0:
        raise ValueError(f"{path}: ptxas: {ran.stderr.strip() or ran.stdout.strip()}")
    said = re.findall(r"Function properties for (\S+)\s+(\d+) bytes stack frame, (\d+) bytes spill stores, (\d+) bytes spill loads\s.*?"
                      r"Used (\d+) registers", ran.stderr + ran.stdout, re.DOTALL)
    if not said:
        raise ValueError(f"{path}: ptxas: expected lines on the kernels' registers, found: {ran.stderr} {ran.stdout}")
    return {kernel: (int(stack), int(stores) + int(loads), int(used)) for kernel, stack, stores, loads, used in said}


def launches(path):
    """(threads, bytes of shared memory or None where they are no number) of every kernel that a lowered statement starts."""
    text = path.read_bytes().decode(errors="replace")
    calls = re.findall(r'halide_cuda_run\(\S+ "\w+", .*?, (\d+), (\d+), (\d+), ([^,]+), \(void \*\)', text)
    if not calls:
        raise ValueError(f"{path}: expected calls of halide_cuda_run, found none")
    return [(int(x) * int(y) * int(z), sum_of_products(size)) for x, y, z, size in calls]


def rows():
    """(name, row of the table, type, object, lowered statement) of each function of the table that is compiled for CUDA."""
    folder = Path(os.environ["SEPCONV_GPU_ROWS"])
    found = []
    for row in json.loads(Path(os.environ["SEPCONV_TABLE"]).read_text())["gpu_rows"]:
        for kind in row.get("cuda_types", row["types"]):
            name = row["name"] + ("" if kind == "float32" else f"_{kind}")
            path = folder / f"sepconv_{name}_cuda.o"
            if not path.exists():
                raise ValueError(f"{path}: expected a function of the table, found none; build the target sepconv_pipelines")
            found.append((name, row, kind, path, path.with_suffix(".stmt")))
    return found


def layer_rows():
    return [row for row in rows() if row[1]["stage"] == "gpu_layer"]


def threads_of(params):
    pixels = params["columns"] * params["rows"]
    return pixels // params["thread_pixels"] * (params["filters"] // params["thread_filters"])


def assembled_rows(machine):
    """(name, row, what assemble() tells) of each function, with the registers that its threads have by the table."""
    def assembled(entry):
        name, row, _, path, _ = entry
        return name, row, assemble(path, machine, row["params"].get("registers", MOST_REGISTERS))

    # ptxas uses one core, and machines that build have two at least.
    with ThreadPoolExecutor(2) as pool:
        return list(pool.map(assembled, rows()))


def sum_of_products(text):
    if re.search("[a-z]", text):
        return None
    total = 0
    for term in re.sub(r"[ ()]", "", text).split("+"):
        product = 1
        for factor in term.split("*"):
            product *= int(factor)
        total += product
    return total


class Ptx(unittest.TestCase):
    def test_kernels_spill_nothing(self):
        for machine in ("sm_80", "sm_90"):
            for name, path, _ in layers():
                for kernel, (stack, spilled, _) in assemble(path, machine, REGISTERS).items():
                    with self.subTest(name, kernel=kernel, machine=machine):
                        self.assertEqual((stack, spilled), (0, 0))

    def test_blocks_fit_every_device(self):
        for name, _, statement in layers():
            for threads, shared in launches(statement):
                with self.subTest(name):
                    self.assertLessEqual(threads, THREADS)
                    self.assertLessEqual(shared, SHARED_BYTES)

    def test_one_kernel_computes_a_layer(self):
        for name, _, statement in layers():
            with self.subTest(name):
                along_axes = re.search("softmax|sparsemax|long_rows|glu", name) is not None
                self.assertEqual(len(launches(statement)), 2 if along_axes else 1)

    def test_open_functions_stay_in_few_registers(self):
        for machine in ("sm_80", "sm_86", "sm_90"):
            for name, path, _ in open_functions():
                for kernel, (stack, spilled, registers) in assemble(path, machine, 255).items():
                    with self.subTest(name, kernel=kernel, machine=machine):
                        self.assertEqual((stack, spilled), (0, 0))
                        self.assertLessEqual(registers, OPEN_REGISTERS)

    def test_open_functions_have_small_blocks(self):
        for name, _, statement in open_functions():
            for threads, shared in launches(statement):
                with self.subTest(name):
                    self.assertLessEqual(threads, THREADS)
                    self.assertLessEqual(shared, 1024)

    def test_open_functions_keep_nothing_in_device_memory(self):
        for name, _, statement in open_functions():
            with self.subTest(name):
                # softmax has one for each way to reduce a line, and starts one of them.
                self.assertEqual(len(launches(statement)), 2 if "softmax" in name else 1)
                self.assertNotIn(b"halide_device_malloc", statement.read_bytes())

    def check_rows(self, machine):
        for name, row, kernels in assembled_rows(machine):
            for kernel, (stack, spilled, registers) in kernels.items():
                with self.subTest(name, kernel=kernel, machine=machine):
                    self.assertEqual((stack, spilled), (0, 0))
                    self.assertLessEqual(registers, row["params"].get("registers", MOST_REGISTERS))

    def test_rows_stay_in_their_registers_on_sm_80(self):
        self.check_rows("sm_80")

    def test_rows_stay_in_their_registers_on_sm_86(self):
        self.check_rows("sm_86")

    def test_rows_stay_in_their_registers_on_sm_90(self):
        self.check_rows("sm_90")

    def test_rows_keep_nothing_in_local_memory(self):
        for name, _, _, path, _ in rows():
            with self.subTest(name):
                self.assertNotRegex(ptx(path), r"(?m)^\s*\.local|\b(ld|st)\.local\b")

    def test_a_row_of_a_layer_is_one_kernel_of_its_tile(self):
        for name, row, _, _, statement in layer_rows():
            params = row["params"]
            with self.subTest(name):
                (threads, shared), = launches(statement)
                self.assertEqual(threads, threads_of(params))
                if shared is None:
                    self.assertTrue(params.get("whole"), "only the whole depth of a layer has a size that the layer decides")
                    continue
                pixels, chunk = params["columns"] * params["rows"], params["chunk"]
                self.assertEqual(shared, 4 * ((chunk + LANES) * pixels + chunk * params["filters"]))
                self.assertLessEqual(shared, SHARED_BYTES_OF_EVERY_DEVICE)

    def test_rows_allocate_nothing_of_the_device(self):
        for name, _, _, _, statement in layer_rows():
            with self.subTest(name):
                self.assertNotIn(b"halide_device_malloc", statement.read_bytes())

    def test_spilling_is_seen(self):
        path = next(path for name, path, _ in layers() if name == "cuda_mobile_112")
        self.assertGreater(max(spilled for _, spilled, _ in assemble(path, "sm_80", REGISTERS // 2).values()), 0)


if __name__ == "__main__":
    unittest.main(verbosity=2)
