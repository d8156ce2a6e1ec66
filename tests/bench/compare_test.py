"""bench/compare.py with this library's worker: that what is timed is the layer, and that nothing wrong is timed. Peers are not needed.

    compare_test.py SEPCONV_BENCH_WORKER SEPCONV
"""

import os
import pathlib
import sys
import tempfile
import types
import unittest

import numpy as np

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[2] / "bench"))
import compare

LAYER = {"name": "small", "h": 9, "w": 7, "c": 3, "f": 5, "k": 3, "s": 2, "d": 1, "m": 2}


def reference(layer, folder):
    """The layer as its formula reads, in double precision: N,H,W,C."""
    h, w, c, f, k, s, d, m = (layer[key] for key in "hwcfksdm")
    read = lambda name, *shape: np.fromfile(folder / f"{name}.f32", np.float32).astype(np.float64).reshape(shape)
    image = read("input", layer.get("n", 1), h, w, c)
    reach = (k - 1) * d + 1
    heights, widths = (range(-(-extent // s)) for extent in (h, w))
    total_y, total_x = (max((-(-extent // s) - 1) * s + reach - extent, 0) for extent in (h, w))
    padded = np.pad(image, ((0, 0), (total_y // 2, total_y - total_y // 2), (total_x // 2, total_x - total_x // 2), (0, 0)))
    depthwise = np.zeros((len(image), len(heights), len(widths), c, m))
    taps = read("depthwise", k, k, c, m)
    for y in heights:
        for x in widths:
            window = padded[:, y * s:y * s + reach:d, x * s:x * s + reach:d]
            depthwise[:, y, x] = np.einsum("nijc,ijcm->ncm", window, taps)
    product = depthwise.reshape(len(image), len(heights), len(widths), c * m) @ read("pointwise", c * m, f)
    return np.maximum(product + read("bias", f), 0)


def disagreeing_worker(difference):
    return types.SimpleNamespace(prepare=lambda layer, folder: np.array([1.0, 2.0 + difference], np.float32))


class OurWorker(unittest.TestCase):
    def setUp(self):
        self.worker = compare.Worker("precompiled", sorted(os.sched_getaffinity(0))[:1])
        self.addCleanup(self.worker.close)

    def output(self, layer):
        with tempfile.TemporaryDirectory() as name:
            folder = pathlib.Path(name)
            compare.write_values(layer, folder)
            return self.worker.prepare(layer, folder), reference(layer, folder)

    def test_computes_the_layer(self):
        for more in ({}, {"s": 1, "d": 2}, {"k": 5}, {"n": 3}):
            with self.subTest(more):
                found, expected = self.output(LAYER | more)
                np.testing.assert_allclose(found.reshape(expected.shape), expected, atol=1e-5)

    def test_measures_what_was_prepared(self):
        self.output(LAYER)
        self.assertGreater(self.worker.measure(0.001), 0)

    def test_measures_every_limit(self):
        limits = self.worker.ask(limits={"peak": 0.001, "bandwidth": 0.001}, threads=1)
        self.assertEqual(set(limits), {"target", "peak", "peak_beside_loads", "read_l2", "copy_l2", "read_memory", "copy_memory"})
        self.assertTrue(all(value > 0 for key, value in limits.items() if key != "target"))

    def test_that_ends_is_reported_with_its_last_words(self):
        with self.assertRaisesRegex(SystemExit, "precompiled has ended:\n(.|\n)*key 'f' not found"):
            self.worker.ask(prepare={"name": "nothing"}, threads=1)


class CompiledWorker(unittest.TestCase):
    def test_computes_the_layer(self):
        worker = compare.Worker("compiled", sorted(os.sched_getaffinity(0))[:1])
        self.addCleanup(worker.close)
        for more in ({}, {"n": 2, "s": 1}):
            with self.subTest(more), tempfile.TemporaryDirectory() as name:
                folder = pathlib.Path(name)
                compare.write_values(LAYER | more, folder)
                found, expected = worker.prepare(LAYER | more, folder), reference(LAYER | more, folder)
                np.testing.assert_allclose(found.reshape(expected.shape), expected, atol=1e-5)
                self.assertGreater(worker.measure(0.001), 0)

    def test_says_what_the_compiler_says(self):
        with tempfile.TemporaryDirectory() as name:
            folder = pathlib.Path(name)
            compare.write_values(LAYER, folder)
            with self.assertRaisesRegex(SystemExit, "expected"):
                compare.compiled_layer.library(compare.SEPCONV, LAYER | {"h": 0}, folder, 1)


class Rounds(unittest.TestCase):
    def line(self, ratios, work=0.0, rounds=2):
        """Of a contest whose rounds find these rates of multiply-adds beside loads, of a peak of 100."""
        rates = iter(ratios)
        worker = types.SimpleNamespace(prepare=lambda layer, folder: np.array([1.0], np.float32), measure=lambda seconds: 1.0,
                                       ask=lambda **_: {"peak": 100.0, "peak_beside_loads": 100.0 * next(rates)})
        contest = object.__new__(compare.Contest)
        contest.options, contest.cores, contest.workers = types.SimpleNamespace(rounds=rounds, seconds=0), [0], [worker]
        contest.overhead, contest.unshared = {}, 0.0
        contest.other_work = lambda round: (round(), work)[1]
        return contest.measure("small", [("precompiled", worker, LAYER)])

    def test_are_taken_again_where_a_second_hardware_thread_was_at_work(self):
        line = self.line([1.0, 0.8, 0.99])
        self.assertEqual((line["quiet_rounds"], line["rounds"]), (2, 3))

    def test_before_a_better_one_are_not_quiet_any_more(self):
        line = self.line([0.8, 1.0, 1.0])
        self.assertEqual((line["quiet_rounds"], line["rounds"]), (2, 3))

    def test_come_to_an_end_on_a_busy_machine(self):
        line = self.line([1.0] * 6, work=0.5)
        self.assertEqual((line["quiet_rounds"], line["rounds"]), (0, 6))


class Outputs(unittest.TestCase):
    def prepared(self, *workers):
        contest = object.__new__(compare.Contest)
        return contest.prepared([(str(i), worker, LAYER) for i, worker in enumerate(workers)])

    def test_that_agree_are_timed(self):
        self.assertEqual(len(self.prepared(disagreeing_worker(0), disagreeing_worker(1e-4))), 2)

    def test_that_differ_end_the_comparison(self):
        with self.assertRaisesRegex(SystemExit, "small: 1 differs from 0 by"):
            self.prepared(disagreeing_worker(0), disagreeing_worker(1e-3))

    def test_that_are_not_numbers_end_the_comparison(self):
        with self.assertRaisesRegex(SystemExit, "small: 1 differs"):
            self.prepared(disagreeing_worker(0), disagreeing_worker(np.nan))

    def test_of_a_way_that_does_not_know_the_layer_are_left_out(self):
        unknown = types.SimpleNamespace(prepare=lambda layer, folder: None)
        self.assertEqual([column for column, _ in self.prepared(disagreeing_worker(0), unknown)], ["0"])


class Layers(unittest.TestCase):
    def test_of_both_tables_have_names_of_their_own(self):
        options = types.SimpleNamespace(filter="")
        names = [layer["name"] for name in ("layers.json", "population.json") for layer in compare.table(name, options)]
        self.assertEqual(len(names), len(set(names)))

    def test_beside_one_differ_from_it_in_one_thing(self):
        for label, layer in compare.neighbours(LAYER):
            changed = {key for key in LAYER if layer[key] != LAYER[key]}
            self.assertIn(changed, {"exact": [set()], "size": [{"h", "w"}], "channels": [{"c"}], "filters": [{"f"}]}[label.split()[0]])


if __name__ == "__main__":
    compare.SEPCONV = sys.argv.pop(2)
    compare.OURS = sys.argv.pop(1)
    unittest.main()
