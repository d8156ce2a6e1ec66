"""bench/gpu without a GPU and without PyTorch: this library by its C interface, on the CPU, and what the page says of made-up figures.

    gpu_test.py LIBSEPCONV_SO
"""

import pathlib
import sys
import tempfile
import unittest

import numpy as np

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[2] / "bench"))
import compare
import compare_test
import gpu_library
import gpu_report
import report

LAYER = compare_test.LAYER | {"n": 1}
LIBRARY = None


def address(array):
    return array.ctypes.data


class Library(unittest.TestCase):
    def output(self, layer, data_format="channels_last", dtype="float32"):
        """What the layer computes, as N,H,W,F, and what it should."""
        library = gpu_library.Library(LIBRARY)
        with tempfile.TemporaryDirectory() as folder:
            compare.write_values(layer, folder)
            expected = compare_test.reference(layer, pathlib.Path(folder))
            image, *weights = (np.fromfile(f"{folder}/{name}.f32", np.float32) for name in ("input", "depthwise", "pointwise", "bias"))
        made = gpu_library.Layer(library, layer, data_format, dtype, *map(address, weights), None)
        self.addCleanup(made.close)
        first = data_format == "channels_first"
        image = image.reshape(layer["n"], layer["h"], layer["w"], layer["c"])
        image = np.ascontiguousarray(image.transpose(0, 3, 1, 2) if first else image, dtype)
        result = np.zeros(list(made.output_shape()), dtype)
        made.bound("sepconv_layer_run", address(image), address(result), None)()
        return result.transpose(0, 2, 3, 1) if first else result, expected

    def test_computes_the_layer_in_both_formats_and_types(self):
        for more in ({}, {"s": 1, "d": 2}, {"k": 5}, {"n": 3}, {"m": 1}):
            for data_format in gpu_report.OURS:
                for dtype, tolerance in (("float32", 1e-5), ("float16", 1e-2)):
                    with self.subTest(more=more, data_format=data_format, dtype=dtype):
                        found, expected = self.output(LAYER | more, data_format, dtype)
                        np.testing.assert_allclose(found, expected, atol=tolerance)

    def test_says_which_functions_it_takes(self):
        library = gpu_library.Library(LIBRARY)
        arrays = [np.zeros(count, np.float32) for count in (3 * 3 * 6, 6 * 5, 5)]
        made = gpu_library.Layer(library, LAYER, "channels_last", "float32", *map(address, arrays), None)
        self.addCleanup(made.close)
        self.assertEqual(made.explain()["output_shape"], list(made.output_shape()))

    def test_that_refuses_is_quoted(self):
        zeros = np.zeros(3 * 3 * 6 * 5, np.float32)
        with self.assertRaisesRegex(gpu_library.Error, "sepconv_layer_create: target: .*found \"none\""):
            gpu_library.Layer(gpu_library.Library(LIBRARY), LAYER, "channels_last", "float32", *[address(zeros)] * 3, "none")

    def test_knows_which_gpus_it_is_built_for(self):
        self.assertIn("built without metal", gpu_library.Library(LIBRARY).why_not("metal"))


def line(seconds, mode="float32", layer=LAYER, **more):
    return {"layer": layer, "mode": mode, "seconds": seconds, "enqueue_seconds": {}, "differences": {}, "failed": {}, "plans": {}} | more


def results(*lines):
    columns = []
    for each in lines:
        columns += [column for column in each["seconds"] if column not in columns]
    return {"date": "2026-01-02", "device": {"name": "a GPU", "capability": "9.0", "multiprocessors": 132, "memory_bytes": 1 << 36,
                                             "l2_bytes": 100, "driver": "550.1"},
            "compile_mode": "default", "versions": {"this library": "0.1.0", "PyTorch": "2.15.0"}, "rounds": 20,
            "limits": {"copy": 1e9, "copy_bytes": 1 << 30, "sgemm_size": 8192, "multiply_adds": 1e9}, "columns": columns,
            "lines": list(lines)}


OPERATIONS = report.operations(LAYER)


class BestPeer(unittest.TestCase):
    def test_is_the_fastest_of_the_others(self):
        found = line({"channels_last": 1e-6, "PyTorch, channels_first": 4e-6, "torch.compile, channels_last": 3e-6})
        self.assertEqual(gpu_report.best_peer(found), "torch.compile, channels_last")
        self.assertAlmostEqual(gpu_report.ahead(found, "channels_last"), 3)

    def test_is_neither_ours_nor_a_variant_of_ours(self):
        found = line({"channels_last": 2e-6, "channels_first": 1e-6, "two kernels": 1e-6, "Anderson2021": 1e-6, "PyTorch": 4e-6})
        self.assertEqual(gpu_report.best_peer(found), "PyTorch")

    def test_is_none_where_no_peer_has_a_time(self):
        self.assertIsNone(gpu_report.best_peer(line({"channels_last": 2e-6})))


class Figures(unittest.TestCase):
    def test_a_copy_counts_where_the_tensors_exceed_the_cache(self):
        found = line({"channels_last": 1e-6})
        page = results(found)
        self.assertAlmostEqual(gpu_report.share_of_copy(found, "channels_last", page), report.least_bytes(LAYER) / 1e-6 / 1e9)
        page["device"]["l2_bytes"] = report.least_bytes(LAYER)
        self.assertIsNone(gpu_report.share_of_copy(found, "channels_last", page))

    def test_values_of_float16_have_half_the_bytes(self):
        self.assertEqual(2 * gpu_report.least_bytes(line({}, "float16")), gpu_report.least_bytes(line({})))

    def test_outputs_are_held_to_what_the_arithmetic_promises(self):
        for mode, near, far in (("float32", 9e-5, 2e-4), ("TF32", 1e-3, 6e-3), ("float16", 5e-3, 2e-2)):
            self.assertTrue(gpu_report.is_close(near, mode))
            self.assertFalse(gpu_report.is_close(far, mode))
        self.assertFalse(gpu_report.is_close(float("nan"), "float32"))


class Page(unittest.TestCase):
    def test_a_layer_on_which_a_peer_is_ahead_stands_out(self):
        slow = OPERATIONS / 0.5e9  # half of the peak
        page = gpu_report.page(results(line({"channels_last": slow, "PyTorch": slow * 0.8}),
                                       line({"channels_last": slow, "PyTorch": slow * 2})))
        self.assertIn(" | 50.0 % | ", page)
        self.assertIn(" | **0.800** | ", page)
        self.assertIn(" | 2.00 | ", page)
        self.assertIn("channels_last: 1.26 times as fast as the best peer of each layer, in front on 1 of 2; the worst is "
                      "small 9×7 3→5, stride 2, multiplier 2 with 0.80 against PyTorch.", page)

    def test_a_candidate_without_a_time_leaves_its_cells_empty_and_is_explained(self):
        with_both = line({"channels_last": 1e-6, "PyTorch": 2e-6, "torch.compile": 3e-6})
        without = line({"channels_last": 1e-6, "PyTorch": 2e-6}, failed={"torch.compile": "RuntimeError: no compiler"})
        page = gpu_report.page(results(with_both, without))
        self.assertIn("| 2.0 | 3.0 |\n", page)
        self.assertIn("| 2.0 |  |\n", page)
        self.assertIn("- torch.compile: no time on 1 of 2 layers (RuntimeError: no compiler)", page)

    def test_modes_and_batches_have_tables_of_their_own(self):
        page = gpu_report.page(results(line({"channels_last": 1e-6}), line({"channels_last": 1e-6}, layer=LAYER | {"n": 32}),
                                       line({"channels_last": 1e-6}, "float16")))
        for title in ("float32, without TF32, one image", "float32, without TF32, 32 images", "float16, one image"):
            self.assertIn(f"### On a GPU: {title}\n", page)
        self.assertNotIn("float16, 32 images", page)

    def test_says_where_and_with_what_it_was_measured(self):
        page = gpu_report.page(results(line({"channels_last": 1e-6})))
        for words in ("2026-01-02: a GPU (compute capability 9.0, 132 multiprocessors), driver 550.1", "PyTorch 2.15.0", "mode default",
                      "1 GiB", "moved 1 GB/s", "8192³ without TF32"):
            self.assertIn(words, page)

    def test_the_cpu_s_part_of_a_call_is_the_median_of_the_layers(self):
        lines = [line({"channels_last": 1e-6}, enqueue_seconds={"channels_last": seconds}) for seconds in (3e-6, 4e-6, 90e-6)]
        self.assertIn("on a call without a graph: channels_last 4.0 µs.", gpu_report.page(results(*lines)))

    def test_stands_between_its_markers_beside_the_figures(self):
        with tempfile.TemporaryDirectory() as name:
            folder = pathlib.Path(name) / "figures"
            folder.with_suffix(".md").write_text(f"before\n{gpu_report.BEGIN}\nold\n{gpu_report.END}\nafter\n")
            gpu_report.write(results(line({"channels_last": 1e-6})), folder)
            page = folder.with_suffix(".md").read_text()
            self.assertTrue(page.startswith(f"before\n{gpu_report.BEGIN}\n\nMeasured on"), page)
            self.assertTrue(page.endswith(f"{gpu_report.END}\nafter\n"), page)
            self.assertIn('"driver": "550.1"', (folder / "gpu.json").read_text())

    def test_of_the_manual_has_the_markers(self):
        manual = (pathlib.Path(__file__).resolve().parents[2] / "docs/benchmarks.md").read_text()
        self.assertEqual((manual.count(gpu_report.BEGIN), manual.count(gpu_report.END)), (1, 1))


if __name__ == "__main__":
    LIBRARY = sys.argv.pop(1)
    unittest.main()
