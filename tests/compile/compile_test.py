#!/usr/bin/env python3
"""`sepconv compile` as its users meet it: a fresh folder, the command, a program linked with what the manifest lists, and Keras' answer.

    compile_test.py TEST...    with the command in SEPCONV, the tree in SOURCE, a folder of its own in WORK, and compilers in CC and CXX
"""
import filecmp
import hashlib
import json
import os
import pty
import re
import shutil
import signal
import subprocess
import sys
import time
import unittest
from pathlib import Path

import numpy as np

import layers
from layers import (ARM_COMPILER, ARM_RUNNER, CC, CXX, SEPCONV, SOURCE, TOLERANCE, Layer, compile_layer, compute, config_options, difference,
                    program, reference, run)

WORK = Path(os.environ["WORK"])
FORMATS = ("channels_last", "channels_first")

# What a program needs around a call with weights of its own, taken from the file that is its fourth argument.
PACKED = """float *kernels = (float *)take(argv[4], &count);
    void *memory = malloc({macro}_WEIGHTS_BYTES + 64), *packed = (void *)(((uintptr_t)memory + 63) / 64 * 64);
    int code = {name}_pack(kernels, kernels + {depthwise}{bias}, packed);
    if (code == 0) code = {name}(input, packed, output);"""

PARALLEL_FOR = """
static int calls;
int share(void *context, int (*task)(void *, int, uint8_t *), int first, int count, uint8_t *closure) {
    int i, code = 0;
    calls += count;
    for (i = first + count - 1; i >= first && code == 0; i--) code = task(context, i, closure);
    return code;
}
"""


class Compile(unittest.TestCase):
    def setUp(self):
        self.folder = WORK / self.id().split(".", 1)[1]
        shutil.rmtree(self.folder, ignore_errors=True)
        self.folder.mkdir(parents=True)

    def expect_close(self, found, expected, what=""):
        self.assertLess(difference(found, expected), TOLERANCE, what)

    def expect_keras(self, layer, found, arithmetic="float32"):
        """Holds a golden case's values to Keras' answer."""
        if layer.exact is None:
            return self.expect_close(found, layer.expected, layer.name)
        self.expect_rounded(found, layer.exact, layer.config, layer.weights, layer.input, arithmetic)

    def expect_rounded(self, found, exact, config, weights, tensor, arithmetic="float32"):
        """Holds values of float16 to the exact ones, rounded once."""
        error = 0.0
        if arithmetic == "float16":
            error = layers.after_activation(config["activation"], layers.float16_error(config, weights, tensor), exact)
        self.assertEqual(found.dtype, np.float16)
        self.assertEqual(layers.not_rounded_from(found, exact, error), 0, f"of {found.size} values")

    def require(self, *tools):
        """Skips a test for which not all that it runs is installed."""
        missing = [tool for tool in tools if shutil.which(tool) is None]
        if missing:
            self.skipTest(f"{', '.join(missing)} not installed (scripts/setup --with-arm brings what 64-bit ARM needs)")

    def expect_error(self, *options, says, code=2):
        done = subprocess.run([SEPCONV, "compile", *map(str, options)], capture_output=True, text=True)
        self.assertEqual(done.returncode, code, done.stderr)
        self.assertRegex(done.stderr, says)
        self.assertEqual(done.stdout, "")
        return done.stderr

    def golden(self, case, *options, subfolder="out", runner=(), compiler=None, **keywords):
        """Compiles a golden case and holds what it computes against Keras."""
        layer = Layer(case)
        out = self.folder / subfolder
        manifest = compile_layer(*layer.options(self.folder / "in"), *options, output=out)
        executable = program(out, manifest["name"], compiler=compiler, **keywords)
        self.expect_keras(layer, compute(executable, layer.input, layer.expected.shape, runner), manifest["arithmetic"])
        return manifest

    def expect_formula(self, kind, axes, data_format, extents, known="###", options=(), strided=False):
        """Compiles a layer whose activation works along axes, for batch, height and width, and holds what it computes against the
        activation's definition. An extent that is `?` in `known` is left open."""
        first = data_format == "channels_first"
        channels = 5
        config, weights = layers.random_layer(7, channels, 12, padding="same", data_format=data_format,
                                              activation=layers.activation_of(kind, axes))
        batch, height, width = extents
        tensor = np.random.default_rng(3).standard_normal((batch, channels, height, width) if first else (*extents, channels), np.float32)
        expected = reference(config, weights, tensor)
        shape = ["?" if letter == "?" else str(extent) for letter, extent in zip(known, extents)]
        shape.insert(1 if first else 3, str(channels))
        what = "_".join([kind, *map(str, axes), data_format, *shape, *options]).replace("?", "open")
        out = self.folder / what
        name = compile_layer(*config_options(out / "in", config, weights), "--input-shape", ",".join(shape), *options, output=out)["name"]
        opens = [str(extent) for letter, extent in zip(known, extents) if letter == "?"]
        if not strided:
            body = f"const int code = {name}({', '.join(['input', 'output', *opens])});"
            self.expect_close(compute(program(out, name, body), tensor, expected.shape), expected, what)
            return
        self.expect_within(out, name, tensor, expected, opens)

    def expect_within(self, out, name, tensor, expected, opens=()):
        """What a layer computes where the input and the output each lie in an array that is larger along every dimension."""
        larger = [(0, 2), (1, 2), (2, 1), (0, 3)]
        padded, target = np.pad(tensor, larger, constant_values=np.nan), np.pad(expected, larger)
        strides = [[side // array.itemsize for side in array.strides] for array in (padded, target)]
        first = [sum(before * stride for (before, _), stride in zip(larger, each)) for each in strides]
        arguments = ", ".join([f"input + {first[0]}", "from", f"output + {first[1]}", "to", *opens, "NULL"])
        body = f"""const int64_t from[4] = {{{', '.join(map(str, strides[0]))}}}, to[4] = {{{', '.join(map(str, strides[1]))}}};
            size_t i;
            int code;
            for (i = 0; i < expected; i++) output[i] = -7;
            code = {name}_strided({arguments});"""
        if tensor.dtype == np.float16:
            body = body.replace("= -7;", "= 0xc700;")  # its bits
        found = compute(program(out, name, body), padded, target.shape)
        inside = tuple(slice(before, before + extent) for (before, _), extent in zip(larger, expected.shape))
        if tensor.dtype == np.float16:
            self.assertEqual(layers.not_rounded_from(found[inside], expected), 0)
        else:
            self.expect_close(found[inside], expected)
        found[inside] = -7
        self.assertTrue((found == -7).all(), "something beside the output was written")


class Layers(Compile):
    CASES = ["kernels_6x1_valid_channels_last", "strides_2_kernel_5_valid_channels_last", "dilation_6_kernel_1x3_valid",
             "channels_8_times_2_channels_last", "special_nan_dilation_2_multiplier_2_channels_last", "mixed_043", "mixed_106",
             "activations_keras3_softmax_channels_last", "extents_columns_63", "large_30x30x70", "large_30x30x70_first"]

    def test_compute_what_keras_computes(self):
        for case in self.CASES:
            with self.subTest(case):
                self.golden(case, subfolder=case)

    def test_have_any_activation(self):
        cases = [case for case in layers.cases().values() if case["id"].startswith("activations_keras3") and case["id"].endswith("object")]
        for case in cases[::3]:
            with self.subTest(case["id"]):
                self.golden(case["id"], subfolder=case["id"])

    def test_take_parts_of_larger_arrays(self):
        for case in ("strides_2_kernel_5_valid_channels_last", "large_30x30x70_first"):
            with self.subTest(case):
                layer = Layer(case)
                out = self.folder / case
                name = compile_layer(*layer.options(self.folder / "in"), output=out)["name"]
                self.expect_within(out, name, layer.input, layer.expected)

    def test_leave_extents_open(self):
        for format in ("channels_last", "channels_first"):
            for padding, strides, dilation, sizes in (("same", [1, 1], [1, 1], "???"), ("valid", [2, 3], [1, 1], "???"),
                                                      ("same", [1, 1], [2, 3], "??9"), ("same", [2, 2], [1, 1], "1c?"),
                                                      ("same", [1, 1], [300, 2], "???")):
                fixed = [None if digit == "?" else int(digit, 16) for digit in sizes]
                config, weights = layers.random_layer(7, 6, 10, padding=padding, strides=strides, dilation_rate=dilation, depth_multiplier=2,
                                                      data_format=format)
                out = self.folder / f"{format}_{padding}_{strides[0]}{strides[1]}_{dilation[0]}"
                self.leave_open(format, config, weights, fixed, out)

    def test_read_few_columns_of_many(self):
        # Fewer than are turned at once, of a row that has more of them.
        for width, stride in ((5, 3), (7, 5), (23, 20)):
            config, weights = layers.random_layer(9, 8, 9, strides=[1, stride], data_format="channels_first")
            self.leave_open("channels_first", config, weights, (1, 9, width), self.folder / f"valid_{width}")
            self.leave_open("channels_first", config, weights, (1, None, width), self.folder / f"valid_open_{width}")

    def test_compute_wide_planes_as_they_lie(self):
        for strides, multiplier, options in (([1, 1], 1, []), ([2, 2], 2, ["--threads", "3"])):
            config, weights = layers.random_layer(7, 6, 20, padding="same", strides=strides, depth_multiplier=multiplier,
                                                  data_format="channels_first")
            tensor = np.random.default_rng(3).standard_normal((2, 6, 41, 90), np.float32)
            expected = reference(config, weights, tensor)
            out = self.folder / f"strides_{strides[0]}"
            manifest = compile_layer(*config_options(out / "in", config, weights), "--input-shape", "2,6,41,90", *options, output=out)
            self.assertIn("pixel_vectors", manifest["targets"][0]["tiles"])
            self.expect_close(compute(program(out, manifest["name"]), tensor, expected.shape), expected)
            self.expect_within(out, manifest["name"], tensor, expected)

    def leave_open(self, format, config, weights, fixed, out):
        """Compiles a layer with (batch, height, width), None where one is open, and runs it for several."""
        place = 1 if format == "channels_first" else 3

        def with_channels(sizes, channels):
            return (*sizes[:place], channels, *sizes[place:])

        channels, filters = weights["depthwise_kernel"].shape[2], config["filters"]
        pattern = ",".join("?" if size is None else str(size) for size in with_channels(fixed, channels))
        name = compile_layer(*config_options(self.folder / "in", config, weights), "--input-shape", pattern, output=out)["name"]
        words = [word for word, size in zip(("batch", "height", "width"), fixed) if size is None]
        read = "".join(f"const int64_t {word} = strtol(argv[{4 + i}], NULL, 10);" for i, word in enumerate(words))
        executable = program(out, name, f"{read} const int code = {name}({', '.join(['input', 'output', *words])});")
        for asked in ((1, 1, 1), (2, 3, 2), (1, 5, 40), (3, 17, 9), (1, 64, 70), (0, 4, 4), (1, 3, 1100)):
            sizes = tuple(size if known is None else known for known, size in zip(fixed, asked))
            tensor = np.random.default_rng(3).standard_normal(with_channels(sizes, channels), np.float32)
            span = [(kernel - 1) * rate + 1 for kernel, rate in zip(config["kernel_size"], config["dilation_rate"])]
            if config["padding"] == "valid" and any(extent < least for extent, least in zip(sizes[1:], span)):
                continue
            with self.subTest(out.name, sizes=sizes):
                expected = reference(config, weights, tensor) if sizes[0] else np.zeros((0, 1, 1, filters))
                more = [size for known, size in zip(fixed, sizes) if known is None]
                self.expect_close(compute(executable, tensor, expected.shape, more=more), expected)

    def test_take_weights_as_an_argument(self):
        for case in ("strides_2_kernel_5_valid_channels_last", "activations_keras3_softmax_channels_last", "large_30x30x70"):
            with self.subTest(case):
                layer = Layer(case)
                out = self.folder / case
                name = compile_layer(*layer.options(self.folder / "in", weights="separate"), output=out)["name"]
                kernels = layer.weights
                np.concatenate([kernels[each].ravel() for each in ("depthwise_kernel", "pointwise_kernel", "bias") if each in kernels]).tofile(
                    out / "weights.bin")
                depthwise, pointwise = kernels["depthwise_kernel"].size, kernels["pointwise_kernel"].size
                bias = f", kernels + {depthwise + pointwise}" if "bias" in kernels else ""
                body = PACKED.format(name=name, macro=name.upper(), depthwise=depthwise, bias=bias)
                executable = program(out, name, body)
                self.expect_close(compute(executable, layer.input, layer.expected.shape, more=[out / "weights.bin"]), layer.expected)

    def test_share_the_work_as_asked(self):
        for case in ("large_30x30x70", "large_30x30x70_first"):
            with self.subTest(case):
                self.share_the_work(case)

    def share_the_work(self, case):
        results = {}
        for how, options, keywords in (("pool", ["--threads", "3"], {}), ("none", ["--no-threads"], {}),
                                       ("supplied", ["--threads", "3", "--parallel-for", "share"], {"before": PARALLEL_FOR})):
            layer = Layer(case)
            out = self.folder / f"{case}_{how}"
            manifest = compile_layer(*layer.options(self.folder / "in"), *options, output=out)
            body = f"int code = {manifest['name']}(input, output);" + (" if (calls < 2) code = 93;" if how == "supplied" else "")
            results[how] = compute(program(out, manifest["name"], body, **keywords), layer.input, layer.expected.shape)
            self.expect_close(results[how], layer.expected, how)
            symbols = run("nm", "-u", out / manifest["files"][0]["name"])
            self.assertEqual("pthread_" in symbols, how == "pool", how)
            self.assertEqual("pthread" in manifest["link"], how == "pool", how)
        self.assertTrue(np.array_equal(results["pool"], results["none"]))
        self.assertTrue(np.array_equal(results["supplied"], results["none"]))

    def test_share_a_batch_image_by_image(self):
        config, weights = layers.random_layer(7, 5, 12, padding="same", strides=[2, 2])
        tensor = np.random.default_rng(3).standard_normal((6, 11, 9, 5), np.float32)
        expected = reference(config, weights, tensor)
        layer = [*config_options(self.folder / "in", config, weights), "--input-shape", "6,11,9,5"]
        calls = {"plain": "{name}(input, output)", "strided": "{name}_strided(input, from, output, to, NULL)"}
        strides = "const int64_t from[4] = {495, 45, 5, 1}, to[4] = {360, 60, 12, 1};"
        results, workspaces = {}, {}
        for how, options, keywords in (("none", ["--no-threads"], {}), ("pool", ["--threads", "3"], {}),
                                       ("supplied", ["--threads", "3", "--parallel-for", "share"], {"before": PARALLEL_FOR})):
            out = self.folder / how
            manifest = compile_layer(*layer, *options, output=out)
            workspaces[how] = manifest["workspace_bytes"]
            for form, call in calls.items():
                body = f"{strides} (void)from; (void)to; int code = {call.format(name=manifest['name'])};"
                body += " if (calls != 3) code = 93;" if how == "supplied" else ""
                results[how, form] = compute(program(out, manifest["name"], body, **keywords), tensor, expected.shape)
                self.expect_close(results[how, form], expected)
        for key, found in results.items():
            self.assertTrue(np.array_equal(found, results["none", "plain"]), key)
        self.assertEqual(workspaces["pool"], 3 * workspaces["none"])

    def test_share_each_image_of_a_batch_that_leaves_tasks_without_one(self):
        config, weights = layers.random_layer(7, 5, 12)
        for batch, tasks in ((6, "1"), (7, "3"), (2, "3"), (31, "1"), ("?", "3")):
            with self.subTest(batch=batch):
                manifest = compile_layer(*config_options(self.folder / "in", config, weights), "--input-shape", f"{batch},11,9,5", "--threads", "3",
                                         output=self.folder / f"of_{str(batch).strip('?')}")
                self.assertEqual(manifest["targets"][0]["generator"]["parameters"]["threads"], tasks)

    def test_say_what_is_wrong_with_a_call(self):
        config, weights = layers.random_layer(1, 4, 8)
        out = self.folder / "out"
        name = compile_layer(*config_options(self.folder / "in", config, weights), "--input-shape", "?,?,?,4", output=out)["name"]
        macro = name.upper()
        calls = {f"{name}(NULL, output, 1, 5, 5)": "NULL_POINTER", f"{name}(input, output, 1, 2, 5)": "BAD_SHAPE",
                 f"{name}(input, output, -1, 5, 5)": "BAD_SHAPE", f"{name}(input, output, 1, 5, (int64_t)1 << 40)": "BAD_SHAPE",
                 f"{name}_with_workspace(input, output, 1, 5, 5, NULL)": "NULL_POINTER",
                 f"{name}_strided(input, wrong, output, wrong, 1, 5, 5, NULL)": "BAD_STRIDES"}
        tests = " ".join(f"if ({call} != {macro}_ERROR_{code}) code = {60 + i};" for i, (call, code) in enumerate(calls.items()))
        body = f"const int64_t wrong[4] = {{100, 20, 4, 2}}; int code = 0; {tests}"
        compute(program(out, name, body), np.zeros(100), (1,))


class AlongAxes(Compile):
    """Activations that work along axes of the output."""

    def test_compute_what_keras_computes(self):
        names = [f"{kind}_{data_format}" for data_format in FORMATS for kind in
                 ("sparsemax", "glu", "log_softmax", "Softmax_0", "Softmax_1", "Softmax_2", "Softmax_0_3_list", "Softmax_1_2_list",
                  "Softmax_1_2_3_list")]
        for case in [*(f"activations_keras3_{name}" for name in names), "activations_sparsemax_of_1", "activations_sparsemax_of_65"]:
            with self.subTest(case):
                self.golden(case, "--threads", "2", subfolder=case)

    def test_are_their_formulas_along_every_axis(self):
        for data_format in FORMATS:
            for axis in range(4):
                for kind in ("softmax", "sparsemax", "glu"):
                    with self.subTest(kind=kind, axis=axis, data_format=data_format):
                        self.expect_formula(kind, [axis], data_format, (2, 6, 34), options=["--threads", "3"] if axis % 2 else ["--no-threads"])

    def test_take_open_extents(self):
        for data_format in FORMATS:
            for kind, axes, known in (("softmax", [1], "???"), ("softmax", [3], "???"), ("softmax", [2, 3], "???"), ("softmax", [1, 2], "###"),
                                      ("softmax", [0], "?##"), ("log_softmax", [2], "#?#"), ("sparsemax", [3], "???"),
                                      ("sparsemax", [1], "##?"), ("glu", [0], "???"), ("glu", [2], "???"), ("glu", [3], "#??")):
                # Fewer columns than a vector has, and more.
                for width in (2, 34) if kind == "sparsemax" else (34,):
                    with self.subTest(kind=kind, axes=axes, data_format=data_format, known=known, width=width):
                        self.expect_formula(kind, axes, data_format, (2, 6, width), known, ["--threads", "3"])

    def test_write_into_larger_arrays(self):
        for data_format in FORMATS:
            for kind, axes, known in (("softmax", [3], "###"), ("softmax", [1], "???"), ("sparsemax", [2], "###"), ("glu", [3], "###"),
                                      ("glu", [1], "###"), ("softmax", [0, 3], "###"), ("sparsemax", [3], "???")):
                with self.subTest(kind=kind, axes=axes, data_format=data_format):
                    self.expect_formula(kind, axes, data_format, (2, 6, 34), known, ["--threads", "2"], strided=True)

    def test_make_of_nan_and_infinity_what_the_library_makes(self):
        for data_format in FORMATS:
            for kind, axis in (("softmax", 3), ("log_softmax", 1), ("sparsemax", 3), ("sparsemax", 2), ("glu", 1)):
                with self.subTest(kind=kind, axis=axis, data_format=data_format):
                    config, weights = layers.random_layer(7, 3, 12, kernel_size=[1, 1], data_format=data_format,
                                                          activation=layers.activation_of(kind, [axis]))
                    weights["bias"][5] = -np.inf
                    random = np.random.default_rng(3)
                    tensor = random.standard_normal((2, 3, 8, 18) if data_format == "channels_first" else (2, 8, 18, 3), np.float32)
                    for value in (np.nan, np.inf, -np.inf, 3e38):
                        tensor.flat[random.integers(0, tensor.size, 2)] = value
                    out = self.folder / f"{kind}_{axis}_{data_format}"
                    options = config_options(out / "in", config, weights)
                    name = compile_layer(*options, "--input-shape", ",".join(map(str, tensor.shape)), output=out)["name"]
                    np.save(out / "input.npy", tensor)
                    run(SEPCONV, "run", *options, "--input", out / "input.npy", "--output", out / "output.npy")
                    expected = np.load(out / "output.npy")
                    self.assertFalse(np.isfinite(expected).all())
                    self.assertTrue(np.isfinite(expected).any())
                    self.expect_close(compute(program(out, name), tensor, expected.shape), expected)

    def test_find_the_support_of_long_rows(self):
        for spread in (1, 1e-2, 1e-4, 0):
            with self.subTest(spread):
                config, weights = layers.random_layer(7, 3, 3000, kernel_size=[1, 1], activation=layers.activation_of("sparsemax", [-1]))
                weights = {name: spread * values for name, values in weights.items()}
                tensor = np.random.default_rng(3).standard_normal((1, 3, 5, 3), np.float32)
                expected = reference(config, weights, tensor)
                out = self.folder / str(spread)
                options = config_options(out / "in", config, {name: values.astype(np.float32) for name, values in weights.items()})
                name = compile_layer(*options, "--input-shape", "1,3,5,3", output=out)["name"]
                found = compute(program(out, name), tensor, expected.shape)
                self.assertLess(difference(found, expected), 2e-6)

    def test_tell_where_memory_comes_from(self):
        for known, says in (("###", "without an allocation"), ("#?#", "comes from malloc all the same")):
            with self.subTest(known):
                self.expect_formula("softmax", [3], "channels_last", (1, 6, 34), known)
                (header,) = self.folder.glob("*/layer.h")
                self.assertIn(says, header.read_text())
                shutil.rmtree(header.parent)


HALF = ("float16_3x3_8_to_16", "float16_3x3_valid_3_to_7", "float16_stride_2_17_to_5", "float16_times_3_stride_2_3_to_8",
        "float16_dilation_3x2_valid_4_to_6", "float16_96_to_40", "float16_1_to_1", "float16_gelu", "float16_softmax", "float16_glu")
HALF_CASES = [f"{case}_{data_format}" for case in HALF for data_format in FORMATS]


class HalfPrecision(Compile):
    """Layers whose dtype is float16."""

    def random_half(self, **arguments):
        """A layer, its weights as float16 has them, and its options."""
        config, weights = layers.random_layer(7, 6, 10, padding="same", dtype="float16", **arguments)
        return config, {name: values.astype(np.float16) for name, values in weights.items()}

    def test_are_within_one_rounding_of_what_keras_computes(self):
        for case in (case for case in layers.cases() if case.startswith("float16_")):
            with self.subTest(case):
                manifest = self.golden(case, "--target", "x86-64-linux-avx2-f16c-fma", "--no-threads", subfolder=case)
                self.assertEqual((manifest["dtype"], manifest["arithmetic"]), ("float16", "float32"))

    def test_are_the_same_without_instructions_that_convert(self):
        for case in HALF_CASES:
            with self.subTest(case):
                self.golden(case, "--target", "x86-64-linux", subfolder=case)

    def test_on_arm_need_no_half_precision_arithmetic(self):
        self.require(ARM_COMPILER[0], ARM_RUNNER[0], "aarch64-linux-gnu-as")
        for case in HALF_CASES:
            with self.subTest(case):
                self.golden(case, "--target", "arm-64-linux", "--threads", "2", "--emit", "asm", subfolder=case, compiler=ARM_COMPILER,
                            runner=[*ARM_RUNNER, "cortex-a53"])
                # The emulator may know more than the CPU; the assembler takes what the first of them has.
                (assembly,) = (self.folder / case).glob("*.s")
                run("aarch64-linux-gnu-as", "-march=armv8-a", assembly, "-o", self.folder / case / "layer.o")
                self.assertRegex(assembly.read_text(), r"\bfcvtl?2?\s")

    def test_on_arm_are_computed_in_half_precision_where_asked(self):
        self.require(ARM_COMPILER[0], ARM_RUNNER[0])
        options = ["--target", "arm-64-linux-arm_fp16", "--arithmetic", "float16"]
        for case in HALF_CASES:
            with self.subTest(case):
                manifest = self.golden(case, *options, "--threads", "2", subfolder=case, compiler=ARM_COMPILER, runner=[*ARM_RUNNER, "max"])
                self.assertEqual(manifest["arithmetic"], "float16")
        # Whole blocks of the product, and what is left over of each.
        for data_format in FORMATS:
            for known, sizes in (("1,23,21", (1, 23, 21)), ("?,?,?", (2, 12, 31))):
                with self.subTest(data_format, known=known):
                    config, weights = layers.random_layer(5, 75, 59, padding="same", data_format=data_format, dtype="float16")
                    weights = {name: values.astype(np.float16) for name, values in weights.items()}
                    place = 3 if data_format == "channels_last" else 1
                    shape, full = known.split(","), list(sizes)
                    shape.insert(place, "75"), full.insert(place, 75)
                    tensor = np.random.default_rng(4).standard_normal(full).astype(np.float16)
                    out = self.folder / f"{data_format}_{known[0]}".replace("?", "open")
                    name = compile_layer(*config_options(out / "in", config, weights), "--input-shape", ",".join(shape), *options, output=out)["name"]
                    opens = [str(size) for letter, size in zip(known.split(","), sizes) if letter == "?"]
                    executable = program(out, name, f"const int code = {name}({', '.join(['input', 'output', *opens])});", compiler=ARM_COMPILER)
                    exact = reference(config, weights, tensor)
                    found = compute(executable, tensor, exact.shape, [*ARM_RUNNER, "max"])
                    self.expect_rounded(found, exact, config, weights, tensor, "float16")
                    self.assertLess(difference(found, exact), 0.02)

    def test_leave_extents_open(self):
        for data_format in FORMATS:
            config, weights = self.random_half(strides=[2, 1], data_format=data_format)
            out = self.folder / data_format
            place = 1 if data_format == "channels_first" else 3
            shape = ["?", "?", "?"]
            shape.insert(place, "6")
            name = compile_layer(*config_options(out / "in", config, weights), "--input-shape", ",".join(shape), output=out)["name"]
            arguments = ", ".join(["input", "output", *(f"strtol(argv[{i}], NULL, 10)" for i in (4, 5, 6))])
            executable = program(out, name, f"const int code = {name}({arguments});")
            for sizes in ((1, 1, 1), (2, 3, 2), (1, 5, 40), (3, 17, 9)):
                with self.subTest(data_format, sizes=sizes):
                    full = list(sizes)
                    full.insert(place, 6)
                    tensor = np.random.default_rng(3).standard_normal(full).astype(np.float16)
                    exact = reference(config, weights, tensor)
                    self.expect_rounded(compute(executable, tensor, exact.shape, more=sizes), exact, config, weights, tensor)

    def test_take_parts_of_larger_arrays(self):
        for data_format in FORMATS:
            with self.subTest(data_format):
                config, weights = self.random_half(data_format=data_format)
                shape = (2, 6, 7, 9) if data_format == "channels_first" else (2, 7, 9, 6)
                tensor = np.random.default_rng(3).standard_normal(shape).astype(np.float16)
                out = self.folder / data_format
                name = compile_layer(*config_options(out / "in", config, weights), "--input-shape", ",".join(map(str, shape)), output=out)["name"]
                self.expect_within(out, name, tensor, reference(config, weights, tensor))

    def test_keep_nan_and_infinity_and_round_to_even(self):
        config, _ = layers.random_layer(1, 1, 1, kernel_size=[1, 1], use_bias=False, dtype="float16")
        # 1 + 2^-10: a product lies between two numbers of float16, in half of the cases in the middle.
        weights = {"depthwise_kernel": np.full((1, 1, 1, 1), 1 + 2.0**-10, np.float32), "pointwise_kernel": np.ones((1, 1, 1, 1), np.float32)}
        every = np.arange(1 << 16, dtype=np.uint16).view(np.float16)
        with np.errstate(over="ignore", invalid="ignore"):
            expected = (every.astype(np.float32) * np.float32(1 + 2.0**-10)).astype(np.float16)
        for target in ("x86-64-linux", "x86-64-linux-avx2-f16c-fma"):
            with self.subTest(target):
                out = self.folder / target
                name = compile_layer(*config_options(out / "in", config, weights), "--input-shape", "1,256,256,1", "--target", target, output=out)["name"]
                found = compute(program(out, name), every, every.shape)
                self.assertTrue(np.array_equal(found, expected, equal_nan=True))
                self.assertGreater(np.isnan(found).sum(), 2000)

    def test_round_their_weights_however_they_come(self):
        # As mixed_float16 has them: float32.
        config, weights = layers.random_layer(7, 6, 10, padding="same", dtype="mixed_float16")
        rounded = {name: values.astype(np.float16) for name, values in weights.items()}
        tensor = np.random.default_rng(3).standard_normal((1, 9, 8, 6)).astype(np.float16)
        exact = reference(config, rounded, tensor)
        self.assertGreater(layers.not_rounded_from(exact.astype(np.float16), reference(config, weights, tensor)), 100)
        found = []
        for how, given in (("float32", weights), ("float16", rounded), ("separate", None)):
            out = self.folder / how
            name = compile_layer(*config_options(out / "in", config, given), "--input-shape", "1,9,8,6", output=out)["name"]
            body, more = None, []
            if given is None:
                np.concatenate([weights[each].ravel() for each in ("depthwise_kernel", "pointwise_kernel", "bias")]).tofile(out / "weights.bin")
                depthwise, pointwise = weights["depthwise_kernel"].size, weights["pointwise_kernel"].size
                body, more = PACKED.format(name=name, macro=name.upper(), depthwise=depthwise, bias=f", kernels + {depthwise + pointwise}"), [out / "weights.bin"]
            found.append(compute(program(out, name, body), tensor, exact.shape, more=more))
            self.expect_rounded(found[-1], exact, config, rounded, tensor)
        self.assertTrue(np.array_equal(found[0], found[1]) and np.array_equal(found[0], found[2]))

    def test_say_so_in_the_header(self):
        config, weights = self.random_half()
        out = self.folder / "out"
        compile_layer(*config_options(out / "in", config, weights), "--input-shape", "1,9,8,6", output=out)
        header = (out / "layer.h").read_text()
        self.assertIn("float16, dense and in C order", header)
        self.assertIn("int layer(const uint16_t *input, uint16_t *output);", header)

    def test_refuse_arithmetic_that_the_layer_or_the_machine_has_not(self):
        config, weights = self.random_half()
        half = [*config_options(self.folder / "half", config, weights), "--input-shape", "1,9,8,6", "-o", self.folder / "out"]
        single = [*config_options(self.folder / "single", {**config, "dtype": "float32"}, weights), *half[4:]]
        arm = ["--target", "arm-64-linux-arm_fp16", "--arithmetic", "float16"]
        for options, says in (([*single, *arm], "--arithmetic: expected float32 for layer, whose dtype is float32, found float16"),
                              ([*half, "--arithmetic", "float16", "--target", "arm-64-linux"], "--arithmetic: expected float32 for arm-64-linux"),
                              ([*half, "--arithmetic", "float16"], "--arithmetic: expected float32 for x86-64"),
                              ([*half, *arm[2:], "--target", "arm-64-linux-arm_fp16-cuda"], "--arithmetic: expected float32 for arm-64"),
                              ([*half, "--arithmetic", "half"], "--arithmetic: expected float32 or float16, found \"half\""),
                              ([*half, "--target", "x86-64-linux-vulkan", "--force-target"],
                               "--target: expected a target without vulkan for layer")):
            with self.subTest(says):
                self.expect_error(*options, says=re.escape(says))


class Model(Compile):
    """A real network, its eight layers against TensorFlow's answers (examples/demo)."""

    MODEL = Path(os.environ["MODEL"])

    def compiled(self, *options):
        self.assertTrue(self.MODEL.is_file(), f"{self.MODEL} is not there; scripts/fetch-model brings it")
        out = self.folder / "out"
        run(SEPCONV, "compile", "--model", self.MODEL, "--layer", "all", "-o", out, "--no-cache", *options)
        return out

    def expect_network(self, separable):
        """Runs the network on the photograph with every separable convolution computed by `separable`."""
        sys.path.insert(0, str(SOURCE / "examples/demo"))
        from network import Network
        from photograph import model_input

        answer, seen = np.load(SOURCE / "examples/demo/answer.npz"), []

        def checked(name, image):
            found = separable(name, image)
            self.expect_close(found, answer[name], name)
            seen.append(name)
            return found

        Network(self.MODEL).run(model_input(), checked)
        self.assertEqual(len(seen), 8)

    def test_every_layer_links_from_c_with_only_a_compiler(self):
        out = self.compiled()
        programs = {}
        for number in range(1, 9):
            name = f"separable_conv2d_{number}"
            # As the README has it, without a look at what is needed.
            programs[name] = program(out, name, compiler=[CC], libraries=["m", "pthread"])
        shapes = {name: json.loads((out / f"{name}.json").read_text())["output_shape"] for name in programs}
        self.expect_network(lambda name, image: compute(programs[name], image, shapes[name]))

    def test_every_layer_is_found_by_cmake(self):
        out = self.compiled()
        names = [f"separable_conv2d_{number}" for number in range(1, 9)]
        for name in names:
            (out / f"{name}_main.c").write_text(layers.source_text({"name": name, "dtype": "float32"}))
        found = "".join(f"find_package({name} REQUIRED)\nadd_executable({name}_found out/{name}_main.c)\n"
                        f"target_link_libraries({name}_found PRIVATE {name}::{name})\n" for name in names)
        (self.folder / "CMakeLists.txt").write_text(f"cmake_minimum_required(VERSION 3.16)\nproject(found LANGUAGES C)\n{found}")
        run(os.environ["CMAKE"], "-S", self.folder, "-B", self.folder / "build", f"-DCMAKE_PREFIX_PATH={out}", f"-DCMAKE_C_COMPILER={CC}")
        run(os.environ["CMAKE"], "--build", self.folder / "build")
        shapes = {name: json.loads((out / f"{name}.json").read_text())["output_shape"] for name in names}
        self.expect_network(lambda name, image: compute(self.folder / "build" / f"{name}_found", image, shapes[name]))

    def test_one_program_in_c_plus_plus_links_all_eight(self):
        out = self.compiled("--name", "fer", "--threads", "2")
        names = [f"fer_separable_conv2d_{number}" for number in range(1, 9)]
        self.assertIn("pthread", json.loads((out / f"{names[1]}.json").read_text())["link"])
        includes = "".join(f'#include "{name}.h"\n' for name in names)
        table = ", ".join(f'{{"{name}", {name}, {name.upper()}_INPUT_SIZE, {name.upper()}_OUTPUT_SIZE}}' for name in names)
        (out / "all.cpp").write_text(f"""{includes}
            #include <cstddef>
            #include <fstream>
            #include <string>
            #include <vector>
            struct Layer {{ std::string name; int (*run)(const float *, float *); std::size_t from, to; }};
            int main(int, char **argv) {{
                for (const Layer &layer : {{{table.replace('{"', 'Layer{"', 1)}}}) {{
                    if (layer.name != argv[4]) continue;
                    std::vector<float> input(layer.from), output(layer.to);
                    std::ifstream(argv[1], std::ios::binary).read(reinterpret_cast<char *>(input.data()), 4 * input.size());
                    if (const int code = layer.run(input.data(), output.data())) return code;
                    std::ofstream(argv[2], std::ios::binary).write(reinterpret_cast<const char *>(output.data()), 4 * output.size());
                    return 0;
                }}
                return 99;
            }}""")
        run(CXX, "-std=c++17", "-Wall", "-Wextra", "-Werror", out / "all.cpp", *[out / f"{name}.a" for name in names], "-I", out, "-o", out / "all",
            "-lm", "-lpthread")
        shapes = {name: json.loads((out / f"fer_{name}.json").read_text())["output_shape"] for name in (each[4:] for each in names)}
        self.expect_network(lambda name, image: compute(out / "all", image, shapes[name], more=[f"fer_{name}"]))

    def test_shapes_follow_from_the_models_own_or_from_another(self):
        out = self.folder / "out"
        for options, shape in (([], [1, 30, 30, 16]), (["--model-input-shape", "?,96,80,1"], [None, 46, 38, 16]),
                               (["--input-shape", "2,7,?,16"], [2, 7, None, 16])):
            with self.subTest(shape):
                manifest = compile_layer("--model", self.MODEL, "--layer", "separable_conv2d_3", *options, output=out)
                self.assertEqual(manifest["input_shape"], shape)
        self.expect_error("--model", self.MODEL, "--layer", "all", "--input-shape", "separable:1,2,3,4", "-o", out, says="expected the name of a layer")


class ModelFiles(Compile):
    FOLDER = SOURCE / "tests/golden/models"

    def test_of_every_kind_are_compiled_whole(self):
        models, answers = json.loads((self.FOLDER / "models.json").read_text()), np.load(self.FOLDER / "expected.npz")
        for file in ("keras2_channels_first.h5", "keras3_functional.json", "keras3_nested.keras"):
            with self.subTest(file):
                model, out = models[file], self.folder / file
                options = ["--model", self.FOLDER / file, "--layer", "all", "-o", out, "--no-cache"]
                if model["weights"]:
                    options += ["--model-weights", self.FOLDER / model["weights"]]
                for name, layer in model["layers"].items():
                    options += ["--input-shape", f"{name}:{','.join(map(str, layer['input_shape']))}"]
                run(SEPCONV, "compile", *options)
                self.assertEqual(len(list(out.glob("*.a"))), len(model["layers"]))
                for name, layer in model["layers"].items():
                    function = name.replace("/", "_")
                    tensor, expected = (answers[f"{layer['key']}/{each}"] for each in ("input", "output"))
                    self.expect_close(compute(program(out, function), tensor, expected.shape), expected, name)

    def test_show_how_far_they_are_on_a_terminal(self):
        leader, follower = pty.openpty()
        command = subprocess.Popen([SEPCONV, "compile", "--model", self.FOLDER / "keras3_functional.keras", "--layer", "all", "--jobs", "1", "-o",
                                    self.folder / "out", "--no-cache"], stderr=follower)
        os.close(follower)
        said = b""
        while True:
            try:
                part = os.read(leader, 4096)
            except OSError:  # the other end is closed
                break
            said += part
        os.close(leader)
        self.assertEqual(command.wait(), 0, said)
        count = len(list((self.folder / "out").glob("*.a")))
        self.assertGreater(count, 1)
        self.assertIn(f"[{'.' * 24}] 0/{count}".encode(), said)
        self.assertIn(f"{count - 1}/{count}".encode(), said)


class Gpu(Compile):
    def test_opencl_runs_on_pocl(self):
        for case in ("strides_2_kernel_5_valid_channels_last", "activations_keras3_softmax_channels_last", "large_30x30x70_first",
                     "float16_3x3_8_to_16_channels_last", "float16_times_3_stride_2_3_to_8_channels_first", "float16_softmax_channels_last"):
            with self.subTest(case):
                # Twice: what a call leaves on the device must not disturb the next.
                name = Layer(case).name
                twice = f"int code = {name}(input, output); if (code == 0) code = {name}(input, output);"
                self.golden(case, "--target", "x86-64-linux-opencl", subfolder=case, body=twice)

    def test_opencl_takes_open_extents_and_separate_weights(self):
        config, weights = layers.random_layer(7, 6, 10, padding="same", strides=[2, 2])
        out = self.folder / "out"
        name = compile_layer(*config_options(self.folder / "in", config), "--input-shape", "?,?,?,6", "--target", "x86-64-linux-opencl",
                             output=out)["name"]
        np.concatenate([weights[each].ravel() for each in ("depthwise_kernel", "pointwise_kernel", "bias")]).tofile(out / "weights.bin")
        depthwise, pointwise = weights["depthwise_kernel"].size, weights["pointwise_kernel"].size
        body = PACKED.format(name=name, macro=name.upper(), depthwise=depthwise, bias=f", kernels + {depthwise + pointwise}")
        body = body.replace("packed, output)", "packed, output, strtol(argv[5], NULL, 10), strtol(argv[6], NULL, 10), strtol(argv[7], NULL, 10))")
        executable = program(out, name, body)
        for shape in ((1, 9, 7), (2, 1, 33), (0, 3, 3)):
            with self.subTest(shape):
                tensor = np.random.default_rng(3).standard_normal((*shape, 6), np.float32)
                expected = reference(config, weights, tensor) if shape[0] else np.zeros((0, 2, 2, 10))
                self.expect_close(compute(executable, tensor, expected.shape, more=[out / "weights.bin", *shape]), expected)

    def test_opencl_takes_any_axes(self):
        opencl = ["--target", "x86-64-linux-opencl"]
        for data_format in FORMATS:
            for kind, axes in (("softmax", [1]), ("softmax", [2, 3]), ("log_softmax", [0]), ("sparsemax", [3]), ("sparsemax", [1]), ("glu", [1])):
                with self.subTest(kind=kind, axes=axes, data_format=data_format):
                    self.expect_formula(kind, axes, data_format, (2, 6, 34), options=opencl)
                    if kind != "log_softmax":
                        self.expect_formula(kind, axes, data_format, (2, 6, 34), known="?6?", options=opencl)
        self.expect_formula("softmax", [0, 1, 2, 3], "channels_last", (2, 6, 34), options=opencl)

    def test_without_a_device_a_call_returns_an_error(self):
        config, weights = layers.random_layer(1, 4, 8)
        for target in ("x86-64-linux-opencl", "x86-64-linux-cuda"):
            with self.subTest(target):
                out = self.folder / target
                name = compile_layer(*config_options(self.folder / "in", config, weights), "--input-shape", "1,8,8,4", "--target", target,
                                     output=out)["name"]
                executable = program(out, name, f"int code = {name}(input, output); if (code < 0) code = 77;")
                np.zeros(256, np.float32).tofile(out / "input.bin")
                nowhere = dict(os.environ, OCL_ICD_VENDORS=str(self.folder), CUDA_VISIBLE_DEVICES="")
                done = subprocess.run([executable, out / "input.bin", out / "output.bin", "288"], capture_output=True, text=True, env=nowhere)
                self.assertEqual(done.returncode, 77, done.stderr)

    def test_cuda_is_assembled(self):
        half = {"dtype": "float16"}
        for target, activation, more in (("x86-64-linux-cuda-cuda_capability_80", "linear", []), ("arm-64-linux-cuda", "linear", []),
                                         ("x86-64-linux-cuda-cuda_capability_80", "linear", half), ("x86-64-linux-cuda", "relu", half),
                                         ("x86-64-linux-cuda", layers.activation_of("sparsemax", [-1]), []),
                                         ("x86-64-linux-cuda", layers.activation_of("softmax", [1, 2, 3]), []),
                                         ("x86-64-linux-cuda", "linear", ["--schedule", "auto:anderson2021"])):
            with self.subTest(target=target, activation=activation, more=more):
                arguments, more = (more, []) if more is half else ({}, more)
                config, weights = layers.random_layer(1, 32, 64, padding="same", activation=activation, **arguments)
                out = self.folder / target
                shutil.rmtree(out, ignore_errors=True)
                options = [*config_options(self.folder / "in", config, weights), "--input-shape", "1,28,28,32"]
                compile_layer(*options, "--target", target, *more, "--emit", "object", output=out)
                (text,) = re.findall(rb"//\n// Generated by LLVM NVPTX.*?\x00", (out / "layer.o").read_bytes(), re.S)
                (out / "layer.ptx").write_bytes(text.rstrip(b"\0"))
                self.assertEqual(b"cvt.f32.f16" in text, bool(arguments))
                run(os.environ["PTXAS"], "-arch=sm_80", out / "layer.ptx", "-o", out / "layer.cubin")


class Targets(Compile):
    def test_several_are_behind_one_function(self):
        manifest = self.golden("mixed_106", "--target", "x86-64-linux-avx512_skylake,x86-64-linux-avx2-fma,x86-64-linux-sse41,x86-64-linux")
        self.assertEqual(len(manifest["targets"]), 4)

    def test_each_x86_one_computes_the_same(self):
        for target in ("x86-64-linux", "x86-64-linux-sse41", "x86-64-linux-avx", "x86-64-linux-avx2-fma"):
            with self.subTest(target):
                self.golden("large_30x30x70", "--target", target, subfolder=target)

    def test_arm_runs_under_qemu(self):
        self.require(ARM_COMPILER[0], ARM_RUNNER[0])
        for case, options in (("large_30x30x70", []), ("strides_2_kernel_5_valid_channels_last", ["--no-threads"]),
                              ("activations_keras3_softmax_channels_last", []), ("large_30x30x70_first", []),
                              ("activations_keras3_Softmax_1_2_list_channels_last", ["--threads", "2"]),
                              ("activations_keras3_sparsemax_channels_first", ["--no-threads"])):
            with self.subTest(case):
                self.golden(case, "--target", "arm-64-linux", *options, subfolder=case, compiler=ARM_COMPILER, runner=[*ARM_RUNNER, "max"])

    def test_arm_knows_the_border_in_tiles_of_one_row(self):
        self.require(ARM_COMPILER[0], ARM_RUNNER[0])
        config, weights = layers.random_layer(1, 960, 160, padding="same")
        for height in (8, 5):
            with self.subTest(height=height):
                tensor = np.random.default_rng(2).standard_normal((1, height, 40, 960), np.float32)
                layer = [*config_options(self.folder / "in", config, weights), "--input-shape", f"1,{height},40,960"]
                out = self.folder / str(height)
                manifest = compile_layer(*layer, "--target", "arm-64-linux", "--threads", "2", output=out)
                found = compute(program(out, manifest["name"], compiler=ARM_COMPILER), tensor, (1, height, 40, 160), [*ARM_RUNNER, "max"])
                self.expect_close(found, reference(config, weights, tensor), height)

    def test_arm_sve2_is_taken_only_when_forced(self):
        self.require(ARM_COMPILER[0], ARM_RUNNER[0])
        config, weights = layers.random_layer(1, 4, 8)
        layer = [*config_options(self.folder / "in", config, weights), "--input-shape", "1,8,8,4"]
        self.expect_error(*layer, "--target", "arm-64-linux-sve2", "-o", self.folder / "out", says="beyond 128 bits.*--force-target")
        self.expect_error(*layer, "--target", "arm-64-linux-vector_bits_256", "--force-target", "-o", self.folder / "out", says="unknown feature")
        self.expect_error(*layer, "--target", "arm-64-linux-sve2", "--force-target", "-o", self.folder / "out", says="expected vector_bits_128")
        wide = compile_layer(*layer, "--target", "arm-64-linux-sve2-vector_bits_256", "--force-target", output=self.folder / "wide")
        self.assertEqual(wide["targets"][0]["target"], "arm-64-linux-sve2-vector_bits_256")
        # At 128 bits it is right, as far as is known.
        self.golden("large_30x30x70", "--target", "arm-64-linux-sve2-vector_bits_128", "--force-target", compiler=ARM_COMPILER,
                    runner=[*ARM_RUNNER, "max,sve-max-vq=1"])

    def test_vulkan_is_taken_only_when_forced(self):
        config, weights = layers.random_layer(1, 4, 8)
        layer = [*config_options(self.folder / "in", config, weights), "--input-shape", "1,8,8,4"]
        for target in ("vulkan", "x86-64-linux-vulkan", "x86-64-linux-avx2-vulkan"):
            self.expect_error(*layer, "--target", target, "-o", self.folder / "out", says="loses the end of tensors.*--force-target")
        forced = compile_layer(*layer, "--target", "x86-64-linux-vulkan", "--force-target", "--emit", "object", output=self.folder / "forced")
        self.assertEqual(forced["targets"][0]["target"], "x86-64-linux-vulkan")

    def test_windows_links_and_runs_under_wine(self):
        wine = dict(os.environ, WINEPREFIX=str(self.folder / "wine"), WINEDEBUG="-all")
        for case, options in (("large_30x30x70", ["--threads", "2"]), ("strides_2_kernel_5_valid_channels_last", ["--no-threads"]),
                              ("activations_keras3_sparsemax_channels_last", []), ("float16_3x3_8_to_16_channels_last", [])):
            with self.subTest(case):
                layer = Layer(case)
                out = self.folder / case
                manifest = compile_layer(*layer.options(self.folder / "in"), "--target", "x86-64-windows-avx2-fma,x86-64-windows", *options,
                                         output=out)
                self.assertEqual(manifest["files"][0]["name"], manifest["name"] + ".lib")
                executable = program(out, manifest["name"], compiler=["x86_64-w64-mingw32-gcc", "-std=c99", "-Wall", "-Werror"])
                layer.input.tofile(out / "input.bin")
                run("wine", str(executable) + ".exe" if Path(str(executable) + ".exe").exists() else executable, "input.bin", "output.bin",
                    layer.expected.size, cwd=out, env=wine)
                self.expect_keras(layer, np.fromfile(out / "output.bin", layer.expected.dtype).reshape(layer.expected.shape))

    def test_wasm_runs_under_node(self):
        for case in ("strides_2_kernel_5_valid_channels_last", "activations_keras3_softmax_channels_last", "large_30x30x70",
                     "activations_keras3_Softmax_1_channels_last", "activations_keras3_sparsemax_channels_last",
                     "float16_3x3_8_to_16_channels_last", "float16_3x3_8_to_16_channels_first"):
            with self.subTest(case):
                layer = Layer(case)
                out = self.folder / case
                manifest = compile_layer(*layer.options(self.folder / "in"), "--target", "wasm-32-wasmrt-wasm_simd128", output=out)
                name = manifest["name"]
                # Memory that is never given back is enough for a call.
                (out / "memory.c").write_text("""
                    typedef unsigned long size_t;
                    extern char __heap_base;
                    static char *next = &__heap_base;
                    void *malloc(size_t size) {
                        char *taken = (char *)(((size_t)next + 63) / 64 * 64);
                        next = taken + size;
                        while ((size_t)next > __builtin_wasm_memory_size(0) * 65536)
                            if (__builtin_wasm_memory_grow(0, 16) == (size_t)-1) return 0;
                        return taken;
                    }
                    void free(void *memory) { (void)memory; }
                    void *memset(void *to, int value, size_t count) { char *c = to; while (count--) *c++ = value; return to; }
                    void *memcpy(void *to, const void *from, size_t count) { char *c = to; const char *f = from; while (count--) *c++ = *f++; return to; }
                """)
                run("clang-19", "--target=wasm32", "-nostdlib", "-O1", "-fno-builtin", "-c", out / "memory.c", "-o", out / "memory.o")
                run("wasm-ld-16", "--no-entry", f"--export={name}", "--export=malloc", "--allow-undefined", out / "memory.o", out / f"{name}.a",
                    "-o", out / "layer.wasm")
                layer.input.tofile(out / "input.bin")
                (out / "run.js").write_text(f"""
                    const fs = require('fs');
                    const input = fs.readFileSync('input.bin'), bytes = {layer.expected.nbytes};
                    const env = {{expf: x => Math.fround(Math.exp(x)), logf: x => Math.fround(Math.log(x)), powf: Math.pow, tanhf: Math.tanh}};
                    WebAssembly.instantiate(fs.readFileSync('layer.wasm'), {{env}}).then(({{instance: {{exports: e}}}}) => {{
                        const from = e.malloc(input.length), to = e.malloc(bytes);
                        new Uint8Array(e.memory.buffer, from, input.length).set(input);
                        const code = e.{name}(from, to);
                        if (code !== 0) process.exit(code);
                        fs.writeFileSync('output.bin', Buffer.from(e.memory.buffer, to, bytes));
                    }});""")
                run("node", "run.js", cwd=out)
                self.expect_keras(layer, np.fromfile(out / "output.bin", layer.expected.dtype).reshape(layer.expected.shape))

    def test_every_system_gets_a_library(self):
        config, weights = layers.random_layer(1, 4, 8)
        for target, magic in (("x86-64-macos-avx2-fma", b"\xcf\xfa\xed\xfe"), ("arm-64-macos", b"\xcf\xfa\xed\xfe"), ("arm-64-ios", b"\xcf\xfa\xed\xfe"),
                              ("arm-64-android", b"\x7fELF"), ("x86-64-windows", b"\x64\x86"), ("arm-64-linux-arm_fp16-arm_dot_prod", b"\x7fELF")):
            with self.subTest(target):
                out = self.folder / target
                manifest = compile_layer(*config_options(self.folder / "in", config, weights), "--input-shape", "1,8,8,4", "--target", target,
                                         "--emit", "object", output=out)
                (made,) = [each["name"] for each in manifest["files"] if each["name"].endswith((".o", ".obj"))]
                self.assertTrue((out / made).read_bytes().startswith(magic), target)
                self.assertTrue((out / manifest["files"][0]["name"]).read_bytes().startswith(b"!<arch>\n"))

    def test_an_unknown_one_is_an_error_that_lists_the_known(self):
        config, weights = layers.random_layer(1, 4, 8)
        options = [*config_options(self.folder / "in", config, weights), "--input-shape", "1,8,8,4", "-o", self.folder / "out"]
        for target, says in (("x86-64-linux-avx1024", r"unknown feature \"avx1024\"[^$]*avx512_skylake"), ("sparc-64-linux", "unknown architecture"),
                             ("x86-64-beos", "unknown system"), ("arm-64-linux-avx2", "unknown feature"), ("arm-64-linux-sve2", "sve"),
                             ("x86-64-linux,x86-64-linux-avx2", "best target first"), ("x86-64-linux,arm-64-linux", "only for x86-64"), ("", "expected")):
            with self.subTest(target):
                self.expect_error(*options, "--target", target, says=says)


class Command(Compile):
    def layer(self, *more):
        config, weights = layers.random_layer(1, 4, 8)
        return [*config_options(self.folder / "in", config, weights), "--input-shape", "1,8,8,4", *more]

    def test_gives_the_same_bytes_from_any_folder(self):
        for options in ([], ["--target", "x86-64-linux-avx2-fma,x86-64-linux", "--threads", "3"], ["--weights", "separate"]):
            made = []
            for place in ("here", "there/deeper"):
                folder = self.folder / place
                shutil.rmtree(folder, ignore_errors=True)
                folder.mkdir(parents=True)
                shutil.copytree(self.folder / "in", folder / "in") if (self.folder / "in").exists() else None
                layer = self.layer()
                layer[1] = os.path.relpath(layer[1], folder)
                layer[3] = os.path.relpath(layer[3], folder)
                if options[:1] == ["--weights"]:
                    layer[3] = "separate"
                more = [] if options[:1] == ["--weights"] else options
                run(SEPCONV, "compile", *layer, *more, "-o", "out", "--no-cache", "--emit", "asm,stmt,llvm,object", cwd=folder,
                    env=dict(os.environ, TMPDIR=str(folder)))
                made.append(folder / "out")
            names = sorted(file.name for file in made[0].iterdir())
            self.assertEqual(names, sorted(file.name for file in made[1].iterdir()))
            same, differ, errors = filecmp.cmpfiles(*made, names, shallow=False)
            self.assertEqual((differ, errors), ([], []))

    def test_takes_the_second_result_from_the_cache(self):
        cache, says = self.folder / "cache", []
        def once(out, *more):
            done = subprocess.run([SEPCONV, "compile", *map(str, self.layer(*more)), "-o", str(out), "--cache", str(cache)], capture_output=True, text=True)
            self.assertEqual(done.returncode, 0, done.stderr)
            return "from the cache" in done.stderr
        self.assertFalse(once(self.folder / "first"))
        self.assertTrue(once(self.folder / "second"))
        self.assertFalse(once(self.folder / "third", "--threads", "3"))
        names = sorted(file.name for file in (self.folder / "first").iterdir())
        self.assertEqual(filecmp.cmpfiles(self.folder / "first", self.folder / "second", names, shallow=False)[1:], ([], []))
        # A result that was damaged is compiled again.
        for file in cache.glob("*/layer.a"):
            file.write_bytes(file.read_bytes()[:-1] + b"x")
        self.assertFalse(once(self.folder / "fourth"))
        self.assertEqual(filecmp.cmpfiles(self.folder / "first", self.folder / "fourth", names, shallow=False)[1:], ([], []))

    def test_goes_on_where_its_terminal_is_gone_and_nohup_was_asked_for(self):
        config, weights = layers.random_layer(1, 32, 64)
        options = [*config_options(self.folder / "in", config, weights), "--input-shape", "1,28,28,32", "--no-cache", "-o", self.folder / "out"]
        ignore = lambda: signal.signal(signal.SIGHUP, signal.SIG_IGN)
        command = subprocess.Popen([SEPCONV, "compile", *map(str, options)], stderr=subprocess.PIPE, text=True, preexec_fn=ignore)
        time.sleep(0.5)
        self.assertIsNone(command.poll(), "it was over before the signal")
        command.send_signal(signal.SIGHUP)
        said = command.communicate()[1]
        self.assertEqual(command.returncode, 0, said)

    def test_killed_in_the_middle_leaves_nothing_half_written(self):
        out, cache, temporary = self.folder / "out", self.folder / "cache", self.folder / "tmp"
        temporary.mkdir()
        environment = dict(os.environ, TMPDIR=str(temporary))
        for sent in (signal.SIGKILL, signal.SIGTERM, signal.SIGINT):
            with self.subTest(sent.name):
                left = set(temporary.iterdir())
                command = subprocess.Popen([SEPCONV, "compile", *map(str, self.layer()), "-o", str(out), "--cache", str(cache)], env=environment,
                                           stderr=subprocess.PIPE, text=True)
                # The compiler has its folder as soon as it works.
                while not any((folder / "0/objects").exists() for folder in set(temporary.iterdir()) - left) and command.poll() is None:
                    time.sleep(0.01)
                self.assertIsNone(command.poll(), "it was over before it could be killed")
                command.send_signal(sent)
                command.communicate()
                self.assertNotEqual(command.returncode, 0)
                time.sleep(0.5)
                self.assertEqual(list(out.iterdir()), [])
                self.assertEqual(list(cache.glob("*")), [])
                if sent != signal.SIGKILL:
                    self.assertEqual(list(temporary.iterdir()), [])
        run(SEPCONV, "compile", *self.layer(), "-o", out, "--cache", cache, env=environment)
        self.assertEqual(list(temporary.iterdir()), [], "what the killed one has left is still there")
        self.assertEqual(sorted(file.suffix for file in out.iterdir()), [".a", ".cmake", ".h", ".json", ".pc"])

    def test_writes_a_manifest_whose_digests_hold(self):
        out = self.folder / "out"
        manifest = compile_layer(*self.layer("--emit", "asm,stmt,stmt_html,llvm,object,c"), output=out)
        listed = {each["name"] for each in manifest["files"]}
        self.assertEqual(listed | {"layer.json"}, {file.name for file in out.iterdir()})
        self.assertEqual(listed, {"layer.a", "layer.h", "layerConfig.cmake", "layer.pc", "layer.s", "layer.stmt", "layer.stmt.html", "layer.ll",
                                  "layer.o", "layer.cpp"})
        for each in manifest["files"]:
            contents = (out / each["name"]).read_bytes()
            self.assertEqual((len(contents), hashlib.sha256(contents).hexdigest()), (each["bytes"], each["sha256"]))
        self.assertEqual((manifest["input_shape"], manifest["output_shape"]), ([1, 8, 8, 4], [1, 6, 6, 8]))
        self.assertIn("filters", manifest["layer"])
        self.assertGreater(manifest["targets"][0]["tiles"]["tiles"], 0)
        self.assertRegex(manifest["made_by"], r"^sepconv \d+\.\d+\.\d+, Halide 21\.")

    def test_follows_an_autoscheduler(self):
        for scheduler in ("adams2019", "li2018", "mullapudi2016"):
            for case in ("mixed_106", "activations_keras3_Softmax_1_2_3_list_channels_last", "activations_keras3_sparsemax_channels_first"):
                with self.subTest(scheduler=scheduler, case=case):
                    manifest = self.golden(case, "--schedule", f"auto:{scheduler}", "--target", "x86-64-linux-avx2-fma",
                                           subfolder=f"{scheduler}_{case}")
                    self.assertTrue(manifest["targets"][0]["schedule"])

    def test_never_takes_a_config_for_a_manifest_of_its_own(self):
        layer = self.layer("--no-cache")
        config = layer[1].read_bytes()
        self.expect_error(*layer, "-o", self.folder / "in", says="layer.json, or one that a former compile wrote, found another file")
        self.assertEqual(layer[1].read_bytes(), config)
        self.assertEqual(sorted(file.name for file in (self.folder / "in").iterdir()), ["layer.json", "weights.npz"])
        # A manifest is replaced.
        for _ in range(2):
            run(SEPCONV, "compile", *layer, "-o", self.folder / "in", "--name", "other")
        self.assertEqual(layer[1].read_bytes(), config)

    def test_refuses_what_is_wrong(self):
        config, weights = layers.random_layer(1, 4, 8)
        layer, out = config_options(self.folder / "in", config, weights), self.folder / "out"
        model = SOURCE / "tests/golden/models/keras3_functional.keras"
        np.savez(self.folder / "flat.npz", **{**weights, "depthwise_kernel": weights["depthwise_kernel"].ravel()})
        for options, says in (([*layer, "-o", out], "--input-shape: expected"), ([*layer, "--input-shape", "1,8,8", "-o", out], "four extents"),
                              ([*layer, "--input-shape", "1,8,8,5", "-o", out], "expected 4 channels"),
                              ([*layer, "--input-shape", "1,2,8,4", "-o", out], "window"),
                              ([*layer, "--input-shape", "1,8,8,?", "-o", out], "number of channels"),
                              ([*layer, "--input-shape", "1,8,8,4"], "--output"),
                              ([*layer, "--input-shape", "1,8,8,4", "-o", out, "--name", "int"], "no keyword"),
                              ([*layer, "--input-shape", "1,8,8,4", "-o", out, "--name", "a-b"], "C function may have"),
                              ([*layer, "--input-shape", "1,8,8,4", "-o", out, "--emit", "elf"], "--emit: expected asm"),
                              ([*layer, "--input-shape", "1,8,8,4", "-o", out, "--schedule", "auto:best"], "--schedule: expected hand"),
                              ([*layer, "--input-shape", "1,?,8,4", "-o", out, "--schedule", "auto:adams2019"], "known height and width"),
                              ([*layer, "--input-shape", "1,8,8,4", "-o", out, "--threads", "0"], "--threads: expected"),
                              ([*layer, "--input-shape", "1,8,8,4", "-o", out, "--threads", "2", "--no-threads"], "--no-threads"),
                              ([*layer[:2], "--input-shape", "1,8,8,4", "-o", out], "--weights: expected"),
                              ([*layer[:2], "--weights", self.folder / "flat.npz", "--input-shape", "1,8,8,4", "-o", out], "flat.npz: depthwise_kernel"),
                              (["--model", model, "-o", out], "--layer"), (["--model", model, "--layer", "nothing", "-o", out], "nothing"),
                              ([*layer, "--input-shape", "1,8,8,4", "-o", self.folder / "in" / "layer.json"], "--output: expected a folder")):
            with self.subTest(says):
                self.expect_error(*options, says=re.escape(says))
        self.assertFalse(out.exists() and list(out.iterdir()))


if __name__ == "__main__":
    ran = unittest.main(exit=False, verbosity=2).result
    skipped = 77  # what CMake is told that a skipped test returns
    sys.exit(not ran.wasSuccessful() or (skipped if ran.skipped else 0))
