"""bench/report.py: that the tables say what the figures are."""

import pathlib
import sys
import unittest

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[2] / "bench"))
import report

LAYER = {"name": "net-10x10-8-16", "h": 10, "w": 10, "c": 8, "f": 16, "k": 3, "s": 1, "d": 1, "m": 1}
OPERATIONS = 2 * 10 * 10 * 8 * (9 + 16)


def line(seconds, threads=1, layer=LAYER, **more):
    return {"name": layer["name"], "layer": layer, "threads": threads, "peak": 100.0, "seconds": seconds, "quiet_rounds": 3, "rounds": 3} | more


def results(**parts):
    limits = {"target": "avx2", "peak": 100.0, "read_l2": 90.0, "copy_l2": 80.0, "read_memory": 20.0, "copy_memory": 10.0}
    return {"date": "2026-01-02", "cpu": "a CPU", "rounds": 3, "seconds": 0.1, "ours": ["precompiled"],
            "versions": {"precompiled": "0.1.0", "litert": "2.3.0"}, "limits": {"1": limits, "2": limits},
            "overhead": {"1": {"litert": 1e-6}, "2": {"litert": 1e-6}}, "parts": parts}


class Figures(unittest.TestCase):
    def test_operations_count_every_part_of_the_formula(self):
        layer = LAYER | {"h": 9, "w": 7, "s": 2, "k": 5, "m": 3, "n": 2}
        self.assertEqual(report.operations(layer), 2 * 2 * 5 * 4 * 8 * 3 * (25 + 16))

    def test_least_bytes_are_input_output_and_weights(self):
        self.assertEqual(report.least_bytes(LAYER), 4 * (10 * 10 * 8 + 10 * 10 * 16 + 9 * 8 + 8 * 16 + 16))

    def test_a_peer_is_relieved_of_its_call_and_ours_is_not(self):
        found = report.Line(line({"precompiled": 5e-6, "litert": 5e-6}), results())
        self.assertAlmostEqual(found.seconds["precompiled"], 5e-6)
        self.assertAlmostEqual(found.seconds["litert"], 4e-6)
        self.assertAlmostEqual(found.ahead("precompiled"), 0.8)

    def test_share_is_of_the_peak_beside_the_line(self):
        found = report.Line(line({"precompiled": OPERATIONS / 50e9}), results())
        self.assertAlmostEqual(found.share("precompiled"), 0.5)


class Tables(unittest.TestCase):
    def page(self, **parts):
        return report.tables(results(**parts), {})

    def test_a_layer_on_which_a_peer_is_ahead_stands_out(self):
        page = self.page(layers=[line({"precompiled": 5e-6, "litert": 4.5e-6})])
        self.assertIn("| net 10×10 8→16 | 5.0 | 8.0 % | **0.700** | 3.5 |", page)

    def test_a_layer_on_which_ours_is_ahead_does_not(self):
        self.assertIn("| 8.0 % | 1.40 | 7.0 |", self.page(layers=[line({"precompiled": 5e-6, "litert": 8e-6})]))

    def test_a_way_that_does_not_know_a_layer_leaves_its_cells_empty(self):
        found = results(layers=[line({"precompiled": 5e-6, "fused": 4e-6, "litert": 8e-6}), line({"precompiled": 5e-6, "litert": 8e-6})])
        page = report.tables(found | {"ours": ["precompiled", "fused"]}, {})
        self.assertIn("| 5.0 | 8.0 % | 1.40 | 4.0 | 10.0 % | 1.75 | 7.0 |", page)
        self.assertIn("| 5.0 | 8.0 % | 1.40 |  |  |  | 7.0 |", page)

    def test_two_threads_stand_against_one(self):
        page = self.page(layers=[line({"precompiled": 6e-6}), line({"precompiled": 4e-6}, threads=2)],
                         batch=[line({"1": 6e-6, "8": 9e-6}), line({"1": 4e-6, "8": 5e-6}, threads=2)])
        self.assertIn("| net 10×10 8→16 | 1.50 | 1.80 |", page)

    def test_two_threads_stand_against_one_in_each_way(self):
        found = results(layers=[line({"precompiled": 6e-6, "compiled": 6e-6}), line({"precompiled": 4e-6, "compiled": 3e-6}, threads=2)],
                        batch=[line({"1": 6e-6, "8": 9e-6, "compiled 8": 8e-6}), line({"1": 4e-6, "8": 5e-6, "compiled 8": 5e-6}, threads=2)])
        page = report.tables(found | {"ours": ["precompiled", "compiled"]}, {})
        self.assertIn("| layer (H×W, C→F) | precompiled | compiled | batch 8 | compiled, batch 8 |", page)
        self.assertIn("| net 10×10 8→16 | 1.50 | 2.00 | 1.80 | 1.60 |", page)

    def test_data_formats_stand_side_by_side_in_each_way(self):
        seconds = {"channels_last": 4e-6, "channels_first": 5e-6, "compiled channels_last": 2e-6, "compiled channels_first": 4e-6}
        page = report.tables(results(formats=[line(seconds)]) | {"ours": ["precompiled", "compiled"]}, {})
        self.assertIn("| channels_last | channels_first | ratio | compiled, channels_last | compiled, channels_first | ratio |", page)
        self.assertIn("| net 10×10 8→16 | 10.0 % | 8.0 % | 0.80 | 20.0 % | 10.0 % | 0.50 |", page)
        del seconds["compiled channels_last"], seconds["compiled channels_first"]
        self.assertIn("| net 10×10 8→16 | 10.0 % | 8.0 % | 0.80 |\n", self.page(formats=[line(seconds)]))

    def test_neighbours_are_compared_by_their_own_operations(self):
        more = LAYER | {"c": 9}
        slower = 5e-6 * report.operations(more) / report.operations(LAYER) / 0.8
        self.assertIn("| 8.0 % | 80.0 % |", self.page(neighbours=[line({"exact": 5e-6, "channels +1": slower})]))

    def test_lines_without_enough_quiet_rounds_are_told(self):
        self.assertIn("The cores had no other work.", self.page(layers=[line({"precompiled": 5e-6})]))
        page = self.page(layers=[line({"precompiled": 5e-6}, quiet_rounds=1, rounds=9), line({"precompiled": 5e-6}, quiet_rounds=0)])
        self.assertIn("2 of 2 lines have less than 3 quiet rounds", page)
        self.assertIn("| net 10×10 8→16 |", page)
        self.assertIn("| net 10×10 8→16 † |", page)

    def test_what_stands_around_the_markers_stays(self):
        page = f"before\n{report.BEGIN}\nold\n{report.END}\nafter\n"
        self.assertEqual(report.between_markers(page, "new"), f"before\n{report.BEGIN}\n\nnew\n{report.END}\nafter\n")


if __name__ == "__main__":
    unittest.main()
