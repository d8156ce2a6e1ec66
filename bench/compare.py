"""Measures layers side by side: every way in which this library computes them, and the peers in bench/peers/.

Each candidate is a process of its own, pinned to the same cores, that has the layer ready. They take turns: in every round each one calls
its layer for a short while, the machine's peak is measured beside them, and the least time of all rounds counts, once the candidate's
output has been found to be ours. Called by bench/compare, which has the environments ready.
"""

import argparse
import datetime
import json
import os
import pathlib
import signal
import subprocess
import sys
import tempfile
import time

import numpy as np

import compiled_layer
import report

BENCH = pathlib.Path(__file__).resolve().parent
ROOT = BENCH.parent
OURS = ROOT / "build/release/bin/sepconv_bench_worker"
SEPCONV = ROOT / "build/release/bin/sepconv"
WAYS = ["precompiled", "compiled"]
PEERS = sorted(path.stem for path in (BENCH / "peers").glob("*.txt"))
TOLERANCE = 1e-4  # of the largest output
QUIET = 0.1  # the share of the cores' time that other work may have in a round
UNSHARED = 0.95  # of the best rate of multiply-adds beside loads: below it the cores' second hardware threads have other work
PATIENCE = 3  # times as many rounds as asked for, where rounds are not quiet


class Worker:
    """A candidate's process, pinned. The protocol is in peers/worker.py. It stands still but for its answers: the threads of some peers spin
    for milliseconds after a call, on the core that the next one needs."""

    def __init__(self, name, cores):
        self.name = name
        self.is_peer = name in PEERS
        # Ends with the driver, however that ends, for a process that stands still does not see its input end.
        pinned = ["setpriv", "--pdeathsig", "KILL", "taskset", "-c", ",".join(map(str, cores))]
        self.log = tempfile.TemporaryFile("w+")
        # A compiled layer takes as many threads as its library's pool has, which are those of the machine otherwise.
        self.process = subprocess.Popen(pinned + self.command(), stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=self.log, text=True,
                                        env=os.environ | {"HL_NUM_THREADS": str(len(cores))})
        self.threads = len(cores)
        self.version = self.answer()["version"]

    def command(self):
        if self.is_peer:
            return [ROOT / f"build/bench/{self.name}/bin/python", BENCH / f"peers/{self.name}.py"]
        return [OURS, self.name]

    def answer(self):
        line = self.process.stdout.readline()
        if not line:
            self.log.seek(0)
            raise SystemExit(f"compare: the worker for {self.name} has ended:\n{self.log.read()}")
        self.process.send_signal(signal.SIGSTOP)
        return json.loads(line)

    def ask(self, **request):
        self.process.send_signal(signal.SIGCONT)
        print(json.dumps(request), file=self.process.stdin, flush=True)
        return self.answer()

    def measure(self, seconds):
        return self.ask(measure=seconds)["seconds"]

    def overhead(self):
        """What a call costs by itself, of which a peer's times are relieved."""
        if not self.is_peer:
            return 0.0
        self.ask(minimal=True, threads=self.threads)
        return min(self.measure(0.05) for _ in range(3))

    def prepare(self, layer, folder):
        """The layer's output, or None where this way does not know the layer."""
        output = pathlib.Path(folder) / "output.f32"
        more = {"compiled": compiled_layer.library(SEPCONV, layer, pathlib.Path(folder), self.threads)} if self.name == "compiled" else {}
        if self.ask(prepare=layer, weights=str(folder), output=str(output), threads=self.threads, **more).get("unknown"):
            return None
        return np.fromfile(output, np.float32)

    def cpu_seconds(self):
        fields = pathlib.Path(f"/proc/{self.process.pid}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    def close(self):
        self.process.kill()
        self.process.communicate()
        self.log.close()


def write_values(layer, folder):
    c, f, k, m = (layer[key] for key in "cfkm")
    counts = {"input": layer.get("n", 1) * layer["h"] * layer["w"] * c, "depthwise": k * k * c * m, "pointwise": c * m * f, "bias": f}
    random = np.random.default_rng(1)
    for name, count in counts.items():
        (random.random(count, np.float32) * 2 - 1).tofile(f"{folder}/{name}.f32")


def busy_seconds(cores):
    """How long some cores have worked, or were taken away by the machine below this one."""
    seconds = 0.0
    for line in pathlib.Path("/proc/stat").read_text().splitlines():
        name, *fields = line.split()
        if name in {f"cpu{core}" for core in cores}:
            user, nice, system, _, _, interrupts, soft_interrupts, stolen = map(int, fields[:8])
            seconds += (user + nice + system + interrupts + soft_interrupts + stolen) / os.sysconf("SC_CLK_TCK")
    return seconds


class Contest:
    """The candidates on some cores, and what is measured with them."""

    def __init__(self, names, cores, options):
        self.options, self.cores = options, cores
        self.workers = [Worker(name, cores) for name in names]
        self.overhead = {worker.name: worker.overhead() for worker in self.workers if worker.is_peer}
        self.unshared = 0.0  # the best ratio of multiply-adds beside loads to those alone

    def prepared(self, entries):
        """Those of the entries, (column, worker, layer), that know their layer, all with the same output where they are of the same layer."""
        ready, expected = [], {}
        for column, worker, layer in entries:
            with tempfile.TemporaryDirectory() as folder:
                write_values(layer, folder)
                output = worker.prepare(layer, folder)
            if output is None:
                continue
            reference = expected.setdefault(json.dumps(layer), output)
            difference = np.abs(output - reference).max() / np.abs(reference).max()
            if not difference <= TOLERANCE:
                raise SystemExit(f"compare: {layer['name']}: {column} differs from {entries[0][0]} by {difference:.1e} of the largest output")
            ready.append((column, worker))
        return ready

    def other_work(self, work):
        """Does some work with the workers. The share of the cores' time that went elsewhere."""
        workers = [*self.workers]
        ours = lambda: sum(worker.cpu_seconds() for worker in workers) + time.process_time()
        before, start = busy_seconds(self.cores) - ours(), time.monotonic()
        work()
        return max(0.0, (busy_seconds(self.cores) - ours() - before) / (time.monotonic() - start) / len(self.cores))

    def measure(self, name, entries):
        """One line of the results: the least seconds of each column, and the peak beside them. Rounds that other work disturbed are
        taken again, within limits."""
        columns = self.prepared(entries)
        least, peaks, shared, disturbances = {}, [], [], []

        def one_round():
            limits = self.workers[0].ask(limits={"peak": 0.01}, threads=len(self.cores))
            peaks.append(limits["peak"])
            shared.append(limits["peak_beside_loads"] / limits["peak"])
            for column, worker in columns:
                least[column] = min(least.get(column, np.inf), worker.measure(self.options.seconds))

        def quiet_rounds():
            self.unshared = max(self.unshared, *shared)
            return sum(work < QUIET and ratio > UNSHARED * self.unshared for work, ratio in zip(disturbances, shared))

        for _ in range(PATIENCE * self.options.rounds):
            disturbances.append(self.other_work(one_round))
            if quiet_rounds() >= self.options.rounds:
                break
        line = {"name": name, "layer": entries[0][2], "threads": len(self.cores), "peak": max(peaks), "seconds": least,
                "quiet_rounds": quiet_rounds(), "rounds": len(disturbances)}
        print(report.progress(line, self.overhead), file=sys.stderr, flush=True)
        return line

    def limits(self):
        return self.workers[0].ask(limits={"peak": 0.1, "bandwidth": 0.3}, threads=len(self.cores))

    def side_by_side(self, layer):
        return self.measure(layer["name"], [(worker.name, worker, layer) for worker in self.workers])

    def variants(self, name, layers, ways):
        """Only ours, a worker for each variant of a layer, {column: layer}, in each way."""
        entries = []
        for way in ways:
            mine = [worker for worker in self.workers if worker.name == way]
            while len(mine) < len(layers):
                mine.append(Worker(way, self.cores))
                self.workers.append(mine[-1])
            prefix = "" if way == self.workers[0].name else f"{way} "
            entries += [(prefix + column, worker, layer) for (column, layer), worker in zip(layers.items(), mine)]
        return self.measure(name, entries)

    def close(self):
        for worker in self.workers:
            worker.close()


def table(name, options):
    layers = json.loads((BENCH / name).read_text())
    return [layer for layer in layers if options.filter in layer["name"]]


def sweep():
    """Latency against the size of the image, and against the channels."""
    layer = {"k": 3, "s": 1, "d": 1, "m": 1}
    for size in (8, 16, 32, 64, 128, 256, 512, 1024):
        yield {"name": f"size-{size}x{size}-32-32", "h": size, "w": size, "c": 32, "f": 32, **layer}
    for channels in (8, 16, 32, 64, 128, 256, 512, 1024, 2048):
        yield {"name": f"channels-14x14-{channels}-{channels}", "h": 14, "w": 14, "c": channels, "f": channels, **layer}


def neighbours(layer):
    """The layer and those beside it: one row and column, one channel or one filter more or less."""
    yield "exact", layer
    for label, keys in (("size", "hw"), ("channels", "c"), ("filters", "f")):
        for step in (-1, 1):
            yield f"{label} {step:+d}", layer | {key: layer[key] + step for key in keys}


# Part: the peers take part, and what it measures with a contest.
PARTS = {
    "layers": (True, lambda contest, options: map(contest.side_by_side, table("layers.json", options))),
    "population": (True, lambda contest, options: map(contest.side_by_side, table("population.json", options))),
    "sweep": (True, lambda contest, options: map(contest.side_by_side, (layer for layer in sweep() if options.filter in layer["name"]))),
    "neighbours": (False, lambda contest, options: (
        contest.variants(layer["name"], dict(neighbours(layer)), options.ways[:1]) for layer in table("layers.json", options))),
    "formats": (False, lambda contest, options: (
        contest.variants(layer["name"], {"channels_last": layer, "channels_first": layer | {"data_format": "channels_first"}}, options.ways)
        for layer in table("layers.json", options))),
    "batch": (False, lambda contest, options: (
        contest.variants(layer["name"], {"1": layer, "8": layer | {"n": 8}}, options.ways) for layer in table("layers.json", options))),
}


def cpu_name():
    fields = dict(line.split(":", 1) for line in pathlib.Path("/proc/cpuinfo").read_text().split("\n\n")[0].splitlines() if ":" in line)
    fields = {key.strip(): value.strip() for key, value in fields.items()}
    return f"{fields['model name']} (family {fields['cpu family']}, model {fields['model']})"


def measure_all(options):
    cores = options.cores or sorted(os.sched_getaffinity(0))
    if max(options.threads) > len(cores):
        raise SystemExit(f"compare: --threads {max(options.threads)}: expected at most the number of cores, found cores {cores}")
    ours = options.ways
    results = {"date": datetime.date.today().isoformat(), "cpu": cpu_name(), "seconds": options.seconds, "rounds": options.rounds,
               "ours": ours, "versions": {}, "limits": {}, "overhead": {}, "parts": {part: [] for part in options.parts}}
    for threads in options.threads:
        for with_peers in (True, False):
            parts = [part for part in options.parts if PARTS[part][0] == with_peers]
            if not parts:
                continue
            contest = Contest(ours + options.peers if with_peers else ours[:1], cores[:threads], options)
            before = contest.limits()
            results["versions"] |= {worker.name: worker.version for worker in contest.workers}
            results["overhead"].setdefault(str(threads), {}).update(contest.overhead)
            for part in parts:
                results["parts"][part] += PARTS[part][1](contest, options)
            # The limit is the best that is seen, before and after.
            for found in (before, contest.limits()):
                known = results["limits"].setdefault(str(threads), found)
                known |= {key: max(value, known[key]) for key, value in found.items()}
            contest.close()
    return results


def names(known):
    def parse(text):
        chosen = [word for word in text.split(",") if word]
        for word in chosen:
            if word not in known:
                raise argparse.ArgumentTypeError(f"expected some of {','.join(known)}, found {word}")
        return chosen
    return parse


def numbers(text):
    return [int(word) for word in text.split(",")]


def main():
    parser = argparse.ArgumentParser(prog="bench/compare", description="Measures this library beside its peers and writes a report.")
    parser.add_argument("--parts", type=names(PARTS), default=list(PARTS), help=f"some of {','.join(PARTS)}; all where not given")
    parser.add_argument("--ways", type=names(WAYS), default=WAYS,
                        help=f"some of {','.join(WAYS)}: as the library is linked, and made by `sepconv compile` for each shape; both where not given")
    parser.add_argument("--peers", type=names(PEERS), default=PEERS, help=f"some of {','.join(PEERS)}; all where not given")
    parser.add_argument("--threads", type=numbers, default=[1, 2], help="numbers of threads, each measured apart (1,2)")
    parser.add_argument("--cores", type=numbers, help="the cores to use; those that this process may use where not given")
    parser.add_argument("--seconds", type=float, default=0.1, help="for each candidate in each round (0.1)")
    parser.add_argument("--rounds", type=int, default=3, help="(3)")
    parser.add_argument("--filter", default="", help="only layers with this in their name")
    parser.add_argument("--output", type=pathlib.Path, default=ROOT / "docs/benchmarks",
                        help="a folder for results.json and the pictures; the tables go into the page of its name (docs/benchmarks)")
    options = parser.parse_args()
    results = measure_all(options)
    options.output.mkdir(parents=True, exist_ok=True)
    (options.output / "results.json").write_text(json.dumps(results, indent=1) + "\n")
    report.write(results, options.output)


if __name__ == "__main__":
    main()
