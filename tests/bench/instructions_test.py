"""bench/instructions.py: what is subtracted, what is held to the formula, and what the table says. Neither qemu nor peers are needed.

    instructions_test.py SEPCONV_BENCH_WORKER
"""

import os
import pathlib
import sys
import tempfile
import unittest

import numpy as np

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[2] / "bench"))
import compare
import compare_test
import instructions
from compare_test import LAYER
from instructions import Counts


def counts(number):
    return Counts(number, number // 2, number // 4, 0)


class OneCall(unittest.TestCase):
    def test_is_what_two_take_beyond_one(self):
        found, variation = instructions.of_one_call(lambda calls: counts(4000 + 800 * calls))
        self.assertEqual((found, variation), (counts(800), 0))

    def test_is_none_of_what_the_first_request_brings(self):
        first = iter([5000])
        self.assertEqual(instructions.of_one_call(lambda calls: counts(4000 + 800 * calls + next(first, 0))), (counts(800), 0))

    def test_is_found_below_what_comes_and_goes(self):
        extra = iter([0, 400, 0, 0, 1200, 80, 0])  # no call, then one and two in turn
        found, variation = instructions.of_one_call(lambda calls: counts(4000 + 800 * calls + next(extra)))
        self.assertEqual((found, variation), (counts(800), 1200))


class NativeWorker(compare.Worker):
    """Ours on this machine, where nothing counts."""

    def spent(self, calls):
        self.ask(repeat=calls)
        return counts(800 * calls)


class WrongWorker(NativeWorker):
    def prepare(self, layer, folder):
        output = super().prepare(layer, folder)
        output[-1] += 1e-3 * output.max()
        return output


class Layers(unittest.TestCase):
    def worker(self, kind=NativeWorker):
        worker = kind("precompiled", sorted(os.sched_getaffinity(0))[:1])
        self.addCleanup(worker.close)
        return worker

    def test_are_expected_as_the_formula_says(self):
        for more in ({}, {"s": 1, "d": 2}, {"k": 5}, {"k": 2, "d": 3}):
            with self.subTest(more), tempfile.TemporaryDirectory() as name:
                folder, layer = pathlib.Path(name), LAYER | more
                compare.write_values(layer, folder)
                expected = compare_test.reference(layer, folder)[0]
                np.testing.assert_allclose(instructions.expected_output(layer, folder), expected, atol=1e-5)

    def test_are_counted_in_both_formats(self):
        worker = self.worker()
        for channels_first in (False, True):
            with self.subTest(channels_first=channels_first):
                self.assertEqual(instructions.count(worker, LAYER, channels_first), (counts(800), 0))

    def test_with_a_wrong_output_are_not_counted(self):
        with self.assertRaisesRegex(SystemExit, "small: precompiled differs from the formula by 1.0e-03"):
            instructions.count(self.worker(WrongWorker), LAYER)


def results(**of_columns):
    line = {"layer": LAYER, "counts": {column: counts(number)._asdict() for column, number in of_columns.items()},
            "variation": {column: i for i, column in enumerate(of_columns)}}
    return {"date": "2026-01-02", "qemu": "qemu 1.0", "cpu": "neoverse-n1", "versions": {"precompiled": "0.1.0", "litert": "2.3.0"},
            "overhead": {"litert": counts(1000)._asdict(), "onnx_runtime": counts(20000)._asdict()}, "lines": [line]}


class EarlierPeers(unittest.TestCase):
    def test_stand_beside_ours_of_now(self):
        ours, earlier = results(precompiled=500_000), results(precompiled=900_000, litert=601_000, onnx_runtime=820_000)
        ours["versions"], ours["overhead"] = {"precompiled": "0.2.0"}, {}
        found = instructions.with_peers(ours, earlier)
        self.assertIn("| 0.5000 | 1.200 | 0.6000 | 0.8000 |", instructions.table(found))
        self.assertEqual(found["versions"], {"precompiled": "0.2.0", "litert": "2.3.0"})

    def test_of_another_cpu_or_layer_are_refused(self):
        ours, other = results(precompiled=500_000), results(litert=601_000)
        other["lines"][0]["layer"] = LAYER | {"c": 4}
        with self.assertRaisesRegex(SystemExit, "expected counts of small as it is now, found none"):
            instructions.with_peers(ours, other)
        with self.assertRaisesRegex(SystemExit, "expected counts with neoverse-n1, found max"):
            instructions.with_peers(ours, results(litert=601_000) | {"cpu": "max"})


class Table(unittest.TestCase):
    def test_relieves_peers_of_their_call_and_not_ours(self):
        table = instructions.table(results(precompiled=500_000, litert=601_000, onnx_runtime=820_000))
        self.assertIn("| 0.5000 | 1.200 | 0.6000 | 0.8000 |", table)

    def test_shows_a_layer_on_which_a_peer_takes_no_more(self):
        for peer, ratio in ((501_000, "**1.000**"), (451_000, "**0.900**")):
            self.assertIn(f"| 0.5000 | {ratio} |", instructions.table(results(precompiled=500_000, litert=peer, onnx_runtime=820_000)))

    def test_knows_what_the_multiply_adds_take(self):
        # 5 × 4 pixels of 6 channels, 9 taps and 5 filters each, by four.
        self.assertEqual(instructions.floor(LAYER), 5 * 4 * 6 * (9 + 5) / 4)

    def test_of_the_peers_alone_has_no_ratio(self):
        table = instructions.table(results(litert=601_000, onnx_runtime=820_000))
        self.assertIn("| 0.6000 | 0.8000 |", table)
        self.assertNotIn("fewest", table)

    def test_of_ours_alone_has_no_ratio(self):
        table = instructions.table(results(precompiled=500_000))
        self.assertTrue(table.endswith("| 0.0004200 | 0.5000 |\n"), table)
        self.assertNotIn("fewest", table)

    def test_comes_with_the_largest_variations(self):
        found = results(precompiled=500_000, litert=601_000)
        found["lines"].append(found["lines"][0] | {"variation": {"precompiled": 0, "litert": 7}})
        self.assertIn("differed by up to 0 instructions (precompiled), 7 instructions (LiteRT).", instructions.page(found))


if __name__ == "__main__":
    compare.OURS = sys.argv.pop(1)
    unittest.main()
