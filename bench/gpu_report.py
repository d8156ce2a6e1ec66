"""The page's section of what bench/gpu measured. Needs no GPU:

    python3 bench/gpu_report.py [FOLDER]

writes it again from gpu.json in FOLDER, docs/benchmarks where it is not given, into the page beside it.
"""

import json
import pathlib
import statistics
import sys
import types

import report

BEGIN, END = "<!-- on a GPU: written by bench/gpu -->", "<!-- on a GPU ends -->"
OURS = ["channels_last", "channels_first"]
# Our variants that are no product: in columns of their own, and no peers.
HALIDE = ["two kernels", "Anderson2021"]
# How far an output may be from ours, of the largest. Products of TF32 have factors of 11 bits, and their errors do not cancel in a sum of
# few channels; a float16 peer rounds the result of the depthwise step too, and may add in float16.
TOLERANCES = {"float32": 1e-4, "TF32": 5e-3, "float16": 1e-2}
MODES = {"float32": "float32, without TF32", "TF32": "float32, the peers with TF32", "float16": "float16"}


def peers(line):
    return [column for column in line["seconds"] if column not in OURS and column not in HALIDE]


def best_peer(line):
    """The column of the fastest, or None where no peer has a time."""
    return min(peers(line), key=line["seconds"].get, default=None)


def ahead(line, column):
    """How many times as fast as the best peer."""
    return line["seconds"][best_peer(line)] / line["seconds"][column]


def achieved(line, column):
    """Operations a second."""
    return report.operations(line["layer"]) / line["seconds"][column]


def least_bytes(line):
    return report.least_bytes(line["layer"]) // (2 if line["mode"] == "float16" else 1)


def share_of_copy(line, column, results):
    """Bytes a second, each tensor's once, as a share of what a copy moves; None where the second-level cache may have kept them."""
    if least_bytes(line) <= 2 * results["device"]["l2_bytes"]:
        return None
    return least_bytes(line) / line["seconds"][column] / results["limits"]["copy"]


def is_close(difference, mode):
    return difference <= TOLERANCES[mode]  # of which no NaN is


# ---- words

def ratio(value):
    return f"{value:.2f}" if value >= 1 else f"**{value:.3f}**"


def label(line):
    return report.label(types.SimpleNamespace(layer=line["layer"], name=line["layer"]["name"], disturbed=False))


def cells_of(line, column, results):
    if column not in line["seconds"]:
        return [""] * 4
    copy = share_of_copy(line, column, results)
    return [report.microseconds(line["seconds"][column]), report.percent(achieved(line, column) / results["limits"]["multiply_adds"]),
            "" if copy is None else report.percent(copy), ratio(ahead(line, column)) if peers(line) else ""]


def table(lines, results):
    """Every candidate on every layer of one mode and batch."""
    present = [column for column in results["columns"] if any(column in line["seconds"] for line in lines)]
    ours = [column for column in OURS if column in present]
    others = [column for column in present if column not in ours]
    head = ["layer (H×W, C→F)"]
    for column in ours:
        head += [f"{column}: µs", "of sgemm", "of the copy", "best peer ÷ it"]
    rows = [[label(line)] + [cell for column in ours for cell in cells_of(line, column, results)] +
            [report.microseconds(line["seconds"][column]) if column in line["seconds"] else "" for column in others] for line in lines]
    cells = ["geometric mean"]
    for column in ours:
        known = [line for line in lines if column in line["seconds"] and peers(line)]
        cells += ["", "", "", f"{report.geometric_mean([ahead(line, column) for line in known]):.2f}" if known else ""]
    return report.table(head + [f"{column}: µs" for column in others], rows + [cells + [""] * len(others)])


def verdict(lines):
    """The mean and the worst layer against the best peer, by channels_last or, where that is not measured, by what is."""
    column = next((column for column in OURS if any(column in line["seconds"] for line in lines)), None)
    known = [line for line in lines if column in line["seconds"] and peers(line)]
    if not known:
        return ""
    worst = min(known, key=lambda line: ahead(line, column))
    in_front = sum(ahead(line, column) > 1 for line in known)
    mean = report.geometric_mean([ahead(line, column) for line in known])
    return (f"{column}: {mean:.2f} times as fast as the best peer of each layer, in "
            f"front on {in_front} of {len(known)}; the worst is {label(worst)} with {ahead(worst, column):.2f} against {best_peer(worst)}.")


def enqueue_words(lines):
    """What the CPU spends on one call: the median of all layers."""
    found = {}
    for line in lines:
        for column, seconds in line["enqueue_seconds"].items():
            found.setdefault(column, []).append(seconds)
    return ", ".join(f"{column} {1e6 * statistics.median(seconds):.1f} µs" for column, seconds in found.items())


def failures(lines):
    """Candidates without a time, and why, each once."""
    found = {}
    for line in lines:
        for column, why in line["failed"].items():
            found.setdefault((column, why), []).append(line["layer"]["name"])
    return [f"{column}: no time on {len(names)} of {len(lines)} layers ({why})" for (column, why), names in found.items()]


def page(results):
    device, limits = results["device"], results["limits"]
    versions = ", ".join(f"{name} {version}" for name, version in results["versions"].items())
    compiled = "" if results["compile_mode"] == "none" else f" torch.compile in its mode {results['compile_mode']}."
    text = [f"Measured on {results['date']}: {device['name']} (compute capability {device['capability']}, {device['multiprocessors']} "
            f"multiprocessors), driver {device['driver']}; {versions}.{compiled} In the same run a "
            f"copy of {limits['copy_bytes'] / 2**30:.2g} GiB from device memory to device memory moved {limits['copy'] / 1e9:.0f} GB/s, "
            f"read and written bytes together, and cuBLAS' sgemm of {limits['sgemm_size']}³ without TF32 reached "
            f"{limits['multiply_adds'] / 1e12:.1f} TF/s.\n"]
    for mode, words in MODES.items():
        for batch in sorted({line["layer"]["n"] for line in results["lines"]}):
            lines = [line for line in results["lines"] if line["mode"] == mode and line["layer"]["n"] == batch]
            if not lines:
                continue
            images = "one image" if batch == 1 else f"{batch} images"
            text += [f"### On a GPU: {words}, {images}\n", verdict(lines) + "\n", table(lines, results)]
            enqueued = enqueue_words(lines)
            text += [f"The CPU spends on a call without a graph: {enqueued}.\n"] * bool(enqueued)
            text += [f"- {failure}" for failure in failures(lines)] + [""] * bool(failures(lines))
    return "\n".join(text)


def progress(line):
    found = best_peer(line)
    times = "  ".join(f"{column} {1e6 * seconds:.1f}" for column, seconds in line["seconds"].items())
    lead = f"  best peer / ours {ahead(line, OURS[0]):.2f}" if found and OURS[0] in line["seconds"] else ""
    failed = "".join(f"\n    {column}: {why}" for column, why in line["failed"].items())
    return f"{line['layer']['name']:<28} {line['mode']:<8} n={line['layer']['n']:<3}{lead}  us: {times}{failed}"


def write(results, folder):
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "gpu.json").write_text(json.dumps(results, indent=1) + "\n")
    file = folder.with_suffix(".md")
    before = file.read_text() if file.exists() else f"{BEGIN}\n{END}\n"
    file.write_text(report.between_markers(before, page(results), BEGIN, END))


if __name__ == "__main__":
    where = pathlib.Path(sys.argv[1] if len(sys.argv) > 1 else pathlib.Path(__file__).resolve().parent.parent / "docs/benchmarks")
    write(json.loads((where / "gpu.json").read_text()), where)
