"""Counts the instructions of layers on an emulated ARM CPU: this library's, and those of the peers in bench/peers/ that have wheels for it.

Each candidate is a process of its own under qemu, with one thread, that has the layer ready; a plugin of qemu counts what it executes. The
least count of two calls less the least count of one is that of a call: what comes before the call and between the driver's request and the
answer drops out. Outputs are held to the layer's formula before anything is counted. Called by bench/instructions, which has everything
ready; what the figures are, docs/benchmarks.md says.
"""

import argparse
import collections
import concurrent.futures
import datetime
import json
import os
import pathlib
import subprocess
import sys
import tempfile
import types

import numpy as np

import compare
import report

FOLDER = compare.ROOT / "build/bench/arm64"
DEBIAN = FOLDER / "debian"
OURS = compare.ROOT / "build/arm64/bin/sepconv_bench_worker"
PEERS = ["litert", "onnx_runtime"]
# The models of qemu, with the register that says which one a CPU is: the peers choose their code by it.
CPUS = {"cortex-a53": 0x410fd034, "cortex-a72": 0x410fd083, "cortex-a76": 0x414fd0b1, "neoverse-n1": 0x414fd0c1, "max": 0x000f0510}
REPETITIONS = 3  # Python and ONNX Runtime do a little more at times
BEGIN, END = "<!-- counted: written by bench/instructions -->", "<!-- counted ends -->"

# What the plugin counts, in its order.
Counts = collections.namedtuple("Counts", ["instructions", "multiplications", "loads_and_stores", "scalable"])


def minus(a, b):
    return Counts(*(x - y for x, y in zip(a, b)))


def of_one_call(spent):
    """Counts of one call, and by how many instructions the same request has differed.

    @param spent  gives the counts of a request for a number of calls"""
    spent(0)  # the first request also pays for what it is the first to use
    found = {1: [], 2: []}
    for _ in range(REPETITIONS):
        for calls, counts in found.items():
            counts.append(spent(calls))
    variation = max(max(counts).instructions - min(counts).instructions for counts in found.values())
    return minus(min(found[2]), min(found[1])), variation


class Worker(compare.Worker):
    """A candidate's process under qemu."""

    def __init__(self, name, cpu):
        self.cpu = cpu
        self.counts = tempfile.NamedTemporaryFile("r")
        super().__init__(name, sorted(os.sched_getaffinity(0)))
        self.threads = 1

    def command(self):
        # Nothing random, so that counts repeat.
        command = ["setarch", "--addr-no-randomize", "qemu-aarch64", "-cpu", self.cpu, "-seed", "1", "-L", DEBIAN,
                   "-plugin", f"{FOLDER}/count_instructions.so,counts={self.counts.name}"]
        if not self.is_peer:
            return command + [OURS, self.name]
        settings = {"PYTHONHOME": DEBIAN / "usr", "PYTHONPATH": FOLDER / self.name, "PYTHONHASHSEED": "0", "OPENBLAS_NUM_THREADS": "1"}
        for key, value in settings.items():
            command += ["-E", f"{key}={value}"]
        return command + [DEBIAN / "usr/bin/python3", compare.BENCH / f"peers/{self.name}.py"]

    def total(self):
        """Until the last answer."""
        return Counts(*map(int, pathlib.Path(self.counts.name).read_text().splitlines()[-1].split()))

    def spent(self, calls):
        before = self.total()
        self.ask(repeat=calls)
        return minus(self.total(), before)

    def overhead(self):
        """What a call costs by itself, of which a peer's counts are relieved."""
        if not self.is_peer:
            return Counts(0, 0, 0, 0)
        self.ask(minimal=True, threads=1)
        self.ask(repeat=20)  # until Python has found its pace
        return of_one_call(self.spent)[0]


def expected_output(layer, folder):
    """The layer's formula, with numpy: H,W,F."""
    h, w, c, f, k, s, d, m = (layer[key] for key in "hwcfksdm")
    read = lambda name, *shape: np.fromfile(f"{folder}/{name}.f32", np.float32).reshape(shape)
    heights, widths = -(-h // s), -(-w // s)
    reach = (k - 1) * d + 1
    totals = [max((out - 1) * s + reach - extent, 0) for out, extent in ((heights, h), (widths, w))]
    image = np.pad(read("input", h, w, c), [(total // 2, total - total // 2) for total in totals] + [(0, 0)])
    taps = read("depthwise", k, k, c, m)
    between = np.zeros((heights, widths, c, m), np.float32)
    for y in range(k):
        for x in range(k):
            window = image[y * d:, x * d:][:(heights - 1) * s + 1:s, :(widths - 1) * s + 1:s]
            between += window[..., None] * taps[y, x]
    return np.maximum(between.reshape(heights, widths, c * m) @ read("pointwise", c * m, f) + read("bias", f), 0)


def check(name, layer, output, expected):
    difference = np.abs(output - expected).max() / np.abs(expected).max()
    if not difference <= compare.TOLERANCE:
        raise SystemExit(f"instructions: {layer['name']}: {name} differs from the formula by {difference:.1e} of the largest output")


def count(worker, layer, channels_first=False):
    """Counts of a call, and their variation, once the output has been found right."""
    with tempfile.TemporaryDirectory() as folder:
        compare.write_values(layer, folder)
        expected = expected_output(layer, folder)
        if channels_first:
            layer = layer | {"data_format": "channels_first"}
            file = pathlib.Path(folder) / "input.f32"
            image = np.fromfile(file, np.float32).reshape(layer["h"], layer["w"], layer["c"])
            np.ascontiguousarray(image.transpose(2, 0, 1)).tofile(file)
            expected = expected.transpose(2, 0, 1)
        check(worker.name, layer, worker.prepare(layer, folder).reshape(expected.shape), expected)
    return of_one_call(worker.spent)


# ---- words

def floor(layer):
    """The multiply-adds of a layer, four to an instruction."""
    return report.operations(layer) / 2 / 4


def millions(number):
    return f"{number / 1e6:#.4g}"


def counted(line, column, overhead):
    return line["counts"][column]["instructions"] - overhead.get(column, {}).get("instructions", 0)


def fewest_peer_over(line, column, overhead):
    """How many times as many instructions the best peer takes."""
    return min(counted(line, peer, overhead) for peer in PEERS if peer in line["counts"]) / counted(line, column, overhead)


def table(results):
    overhead, lines = results["overhead"], results["lines"]
    columns = list(lines[0]["counts"])
    ours, peers = [column for column in columns if column not in PEERS], [column for column in columns if column in PEERS]
    head, rows = ["layer (H×W, C→F)", "multiply-adds ÷ 4, M"], []
    for column in ours:
        head += [f"{column}: M"] + ["fewest peer ÷ it"] * bool(peers)
    head += [f"{report.OTHERS[peer]}: M" for peer in peers]
    for line in lines:
        cells = [report.label(types.SimpleNamespace(layer=line["layer"], name=line["layer"]["name"], disturbed=False)),
                 millions(floor(line["layer"]))]
        for column in ours:
            cells.append(millions(counted(line, column, overhead)))
            if peers:
                ratio = fewest_peer_over(line, column, overhead)
                cells.append(f"{ratio:.3f}" if ratio > 1 else f"**{ratio:.3f}**")
        rows.append(cells + [millions(counted(line, peer, overhead)) for peer in peers])
    if ours and peers:
        cells = ["geometric mean", ""]
        for column in ours:
            cells += ["", f"{report.geometric_mean([fewest_peer_over(line, column, overhead) for line in lines]):.3f}"]
        rows.append(cells + [""] * len(peers))
    return report.table(head, rows)


def page(results):
    versions = ", ".join(f"{report.OTHERS.get(name, 'this library')} {version}" for name, version in results["versions"].items())
    text = f"Counted on {results['date']}: {results['qemu']}, as a {results['cpu']}; {versions}. Millions of instructions for one call with one thread. "
    if results["overhead"]:
        relief = ", ".join(f"{report.OTHERS[peer]} {counts['instructions']}" for peer, counts in results["overhead"].items())
        text += f"Those of a model of one element are taken off the peers' ({relief}). "
    variation = {column: max(line["variation"][column] for line in results["lines"]) for column in results["lines"][0]["variation"]}
    text += (f"The same request, made {REPETITIONS} times, of which the least counts, differed by up to "
             + ", ".join(f"{number} instructions ({report.OTHERS.get(column, column)})" for column, number in variation.items()) + ".")
    return f"{text}\n\n{table(results)}"


# ---- the command

def identify(cpu):
    """Lets the guest read which CPU it has where Linux says it. qemu would show it what the host says of its own, on which ONNX Runtime
    fails."""
    midr = CPUS[cpu]
    (DEBIAN / "proc").mkdir(exist_ok=True)
    fields = {"processor": "0", "CPU implementer": f"0x{midr >> 24:02x}", "CPU architecture": "8", "CPU variant": f"0x{midr >> 20 & 15:x}",
              "CPU part": f"0x{midr >> 4 & 0xfff:03x}", "CPU revision": f"{midr & 15}"}
    (DEBIAN / "proc/cpuinfo").write_text("".join(f"{key}\t: {value}\n" for key, value in fields.items()) + "\n")
    devices = DEBIAN / "sys/devices/system/cpu"
    devices.mkdir(parents=True, exist_ok=True)
    for name in ("possible", "present", "online", "kernel_max"):
        (devices / name).write_text("0\n")


def candidates(options):
    """Columns of the table: (column, worker's name, channels first)."""
    found = []
    if OURS.exists():
        ways = subprocess.run(["qemu-aarch64", "-cpu", options.cpu, "-L", DEBIAN, OURS], check=True, capture_output=True, text=True).stdout.split()
        found += [(f"{way}, {form}" if form == "channels_first" else way, way, form == "channels_first")
                  for form in options.formats for way in ways if way != "compiled"]
    else:
        print(f"instructions: {OURS.relative_to(compare.ROOT)} is not there; only the peers are counted", file=sys.stderr)
    return found + [(peer, peer, False) for peer in options.peers]


def count_all(options):
    qemu = subprocess.run(["qemu-aarch64", "--version"], check=True, capture_output=True, text=True).stdout.split(" (")[0]
    identify(options.cpu)
    columns = candidates(options)
    if not columns:
        raise SystemExit("instructions: expected a peer or our worker to count, found neither")
    workers = {column: Worker(name, options.cpu) for column, name, _ in columns}
    results = {"date": datetime.date.today().isoformat(), "qemu": qemu.replace(" version", ""), "cpu": options.cpu,
               "versions": {worker.name: worker.version for worker in workers.values()},
               "overhead": {column: worker.overhead()._asdict() for column, worker in workers.items() if worker.is_peer}, "lines": []}
    with concurrent.futures.ThreadPoolExecutor(len(os.sched_getaffinity(0))) as pool:  # other work does not change a count
        for layer in compare.table("layers.json", options):
            found = dict(zip(workers, pool.map(lambda entry: count(workers[entry[0]], layer, entry[2]), columns)))
            line = {"layer": layer, "counts": {column: counts._asdict() for column, (counts, _) in found.items()},
                    "variation": {column: variation for column, (_, variation) in found.items()}}
            results["lines"].append(line)
            numbers = "  ".join(f"{column} {millions(counted(line, column, results['overhead']))}" for column in found)
            print(f"{layer['name']:<28} floor {millions(floor(layer))}  M: {numbers}", file=sys.stderr, flush=True)
    for worker in workers.values():
        worker.close()
    return results


def with_peers(results, earlier):
    """The counts of ours with those of the peers from an earlier run, which our changes leave as they were."""
    for key in ("qemu", "cpu"):
        if results[key] != earlier[key]:
            raise SystemExit(f"instructions: --peers-from: expected counts with {results[key]}, found {earlier[key]}")
    known = {line["layer"]["name"]: line for line in earlier["lines"]}
    lines = []
    for line in results["lines"]:
        if known.get(line["layer"]["name"], {}).get("layer") != line["layer"]:
            raise SystemExit(f"instructions: --peers-from: expected counts of {line['layer']['name']} as it is now, found none")
        of_peers = known[line["layer"]["name"]]
        lines.append(line | {key: line[key] | {peer: of_peers[key][peer] for peer in PEERS if peer in of_peers[key]}
                             for key in ("counts", "variation")})
    versions = {name: version for name, version in earlier["versions"].items() if name in PEERS}
    return results | {"versions": results["versions"] | versions, "overhead": earlier["overhead"], "lines": lines}


def main():
    parser = argparse.ArgumentParser(prog="bench/instructions", description="Counts the instructions of layers on ARM, under qemu.")
    parser.add_argument("--peers", type=compare.names(PEERS), default=PEERS, help=f"some of {','.join(PEERS)}; all where not given")
    parser.add_argument("--peers-from", type=pathlib.Path, metavar="FILE",
                        help="takes the peers' counts from the instructions.json of an earlier run; only ours are counted")
    parser.add_argument("--cpu", choices=CPUS, default="neoverse-n1", help="the CPU that qemu is (neoverse-n1)")
    parser.add_argument("--formats", type=compare.names(["channels_last", "channels_first"]), default=["channels_last"],
                        help="of our side, some of channels_last,channels_first (channels_last)")
    parser.add_argument("--filter", default="", help="only layers with this in their name")
    parser.add_argument("--output", type=pathlib.Path, default=compare.ROOT / "docs/benchmarks",
                        help="a folder for instructions.json; the table goes into the page of its name (docs/benchmarks)")
    options = parser.parse_args()
    earlier = json.loads(options.peers_from.read_text()) if options.peers_from else None
    if earlier:
        options.peers = []
    results = count_all(options)
    if earlier:
        results = with_peers(results, earlier)
    options.output.mkdir(parents=True, exist_ok=True)
    (options.output / "instructions.json").write_text(json.dumps(results, indent=1) + "\n")
    text, file = page(results), options.output.with_suffix(".md")
    print(text)
    before = file.read_text() if file.exists() else f"{BEGIN}\n{END}\n"
    file.write_text(report.between_markers(before, text, BEGIN, END))


if __name__ == "__main__":
    main()
