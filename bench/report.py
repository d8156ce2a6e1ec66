"""Writes tables and pictures from what bench/compare measured: build/bench/driver/bin/python bench/report.py [FOLDER]

FOLDER, docs/benchmarks where it is not given, has results.json and gets the pictures. The tables go into the page beside it (FOLDER.md),
between two markers; what stands around them there is left alone.
"""

import json
import math
import pathlib
import sys

BEGIN, END = "<!-- measured: written by bench/report.py -->", "<!-- measured ends -->"
OTHERS = {"litert": "LiteRT", "onnx_runtime": "ONNX Runtime", "open_vino": "OpenVINO"}


# ---- figures

def output_pixels(layer):
    return layer.get("n", 1) * -(-layer["h"] // layer["s"]) * -(-layer["w"] // layer["s"])


def operations(layer):
    """2·N·OH·OW·C·M·(k·k + F)"""
    return 2 * output_pixels(layer) * layer["c"] * layer["m"] * (layer["k"] ** 2 + layer["f"])


def least_bytes(layer):
    """Input, output and weights, each once."""
    inner = layer["c"] * layer["m"]
    weights = inner * layer["k"] ** 2 + inner * layer["f"] + layer["f"]
    return 4 * (layer.get("n", 1) * layer["h"] * layer["w"] * layer["c"] + output_pixels(layer) * layer["f"] + weights)


def relieved(line, overhead):
    """Seconds of each column, a peer's without what its call costs by itself."""
    return {column: seconds - overhead.get(column, 0) for column, seconds in line["seconds"].items()}


def geometric_mean(values):
    return math.exp(sum(map(math.log, values)) / len(values))


class Line:
    """A line of the results."""

    def __init__(self, line, results):
        self.layer, self.name, self.threads, self.peak = line["layer"], line["name"], line["threads"], line["peak"]
        self.disturbed = line["quiet_rounds"] == 0
        self.seconds = relieved(line, results["overhead"].get(str(self.threads), {}))
        peers = [column for column in OTHERS if column in self.seconds]
        self.best_peer = min(peers, key=self.seconds.get) if peers else None

    def gflops(self, column, layer=None):
        return operations(layer or self.layer) / self.seconds[column] / 1e9

    def share(self, column, layer=None):
        return self.gflops(column, layer) / self.peak

    def ahead(self, column):
        """How many times as fast as the best peer."""
        return self.seconds[self.best_peer] / self.seconds[column]


def lines(results, part, threads):
    return [line for line in (Line(line, results) for line in results["parts"].get(part, [])) if line.threads == threads]


def progress(line, overhead):
    times = "  ".join(f"{column} {seconds * 1e6:.1f}" for column, seconds in relieved(line, overhead).items())
    share = operations(line["layer"]) / next(iter(line["seconds"].values())) / line["peak"] / 1e9
    disturbed = f"  ({line['quiet_rounds']} of {line['rounds']} rounds quiet)" if line["quiet_rounds"] < line["rounds"] else ""
    return f"{line['name']:<28} {line['threads']} threads  {share:6.1%} of {line['peak']:.0f}  us: {times}{disturbed}"


# ---- words

def label(line):
    layer = line.layer
    extras = [f"{layer['k']}×{layer['k']}"] * (layer["k"] != 3) + [f"stride {layer['s']}"] * (layer["s"] != 1)
    extras += [f"dilation {layer['d']}"] * (layer["d"] != 1) + [f"multiplier {layer['m']}"] * (layer["m"] != 1)
    family = line.name.split("-")[0]
    return ", ".join([f"{family} {layer['h']}×{layer['w']} {layer['c']}→{layer['f']}", *extras]) + " †" * line.disturbed


def percent(share):
    return f"{100 * share:.1f} %"


def microseconds(seconds):
    return f"{seconds * 1e6:.1f}" if seconds < 1e-4 else f"{seconds * 1e6:.0f}"


def count(threads):
    return {1: "one thread", 2: "two threads"}.get(threads, f"{threads} threads")


def table(head, rows):
    return "\n".join(["| " + " | ".join(cells) + " |" for cells in [head, ["---"] * len(head), *rows]]) + "\n"


# ---- tables

def side_by_side(found, ours):
    """Every candidate on every layer, and how far ours are ahead of the best peer."""
    peers = [column for column in OTHERS if any(column in line.seconds for line in found)]
    ours = [column for column in ours if any(column in line.seconds for line in found)]
    head = ["layer (H×W, C→F)"]
    for column in ours:
        head += [f"{column}: µs", "of the peak"] + ["best peer ÷ it"] * bool(peers)
    head += [f"{OTHERS[peer]}: µs" for peer in peers]
    rows = []
    for line in found:
        cells = [label(line)]
        for column in ours:
            known = column in line.seconds
            cells += [microseconds(line.seconds[column]), percent(line.share(column))] if known else ["", ""]
            if peers:
                cells.append((f"{line.ahead(column):.2f}" if line.ahead(column) >= 1 else f"**{line.ahead(column):.3f}**") if known else "")
        rows.append(cells + [microseconds(line.seconds[peer]) for peer in peers])
    cells = ["geometric mean"]
    for column in ours:
        known = [line for line in found if column in line.seconds]
        cells += ["", percent(geometric_mean([line.share(column) for line in known]))]
        cells += [f"{geometric_mean([line.ahead(column) for line in known]):.2f}"] if peers else []
    return table(head, rows + [cells + [""] * len(peers)])


def scaling(results):
    """One thread against two."""
    rows = []
    one, two = ({line.name: line for line in lines(results, "layers", threads)} for threads in (1, 2))
    batch_one, batch_two = ({line.name: line for line in lines(results, "batch", threads)} for threads in (1, 2))
    ours = [column for column in results["ours"] if any(column in line.seconds for line in one.values())]
    batched = [column for column in variant_columns(results, "8") if any(column in line.seconds for line in batch_one.values())]
    ratio = lambda before, after, column: (f"{before.seconds[column] / after.seconds[column]:.2f}"
                                           if before and after and column in before.seconds and column in after.seconds else "")
    for name in [name for name in one if name in two]:
        ratios = [ratio(one[name], two[name], column) for column in ours]
        ratios += [ratio(batch_one.get(name), batch_two.get(name), column) for column in batched]
        rows.append([label(one[name]), *ratios])
    head = ["layer (H×W, C→F)", *ours] + [variant_words(column, "batch 8", "8") for column in batched]
    return table(head, rows) if rows else ""


def variant_columns(results, column):
    """One variant's columns, of each of our ways: the first way's have its name alone."""
    return [column] + [f"{way} {column}" for way in results["ours"][1:]]


def variant_words(column, words, variant):
    return words if column == variant else f"{column.rpartition(' ')[0]}, {words}"


def formats(results, found):
    """The two data formats in each of our ways."""
    pairs = [pair for pair in zip(variant_columns(results, "channels_last"), variant_columns(results, "channels_first"))
             if any(pair[0] in line.seconds for line in found)]
    head = ["layer (H×W, C→F)"]
    for last, first in pairs:
        head += [variant_words(last, "channels_last", "channels_last"), variant_words(first, "channels_first", "channels_first"), "ratio"]
    rows = []
    for line in found:
        cells = [label(line)]
        for last, first in pairs:
            known = last in line.seconds and first in line.seconds
            cells += ([percent(line.share(last)), percent(line.share(first)), f"{line.seconds[last] / line.seconds[first]:.2f}"] if known
                      else ["", "", ""])
        rows.append(cells)
    return table(head, rows)


def variants(found, columns):
    """Ours on a layer's neighbours: operations a second in per cent of the exact layer's."""
    def changed(layer, column):
        keys = {"size": "hw", "channels": "c", "filters": "f"}[column.split()[0]]
        return layer | {key: layer[key] + int(column.split()[1]) for key in keys}
    rows = [[label(line), percent(line.share("exact"))] +
            [percent(line.gflops(column, changed(line.layer, column)) / line.gflops("exact")) for column in columns] for line in found]
    return table(["layer (H×W, C→F)", "of the peak", *columns], rows)


def section(title, text, body):
    return f"### {title}\n\n{text}\n\n{body}" if body else ""


def disturbances(results):
    """What is to be said of rounds in which the cores had other work too."""
    all_lines = [line for part in results["parts"].values() for line in part]
    disturbed = [line for line in all_lines if line["quiet_rounds"] < results["rounds"]]
    if not disturbed:
        return "The cores had no other work."
    return (f"The cores had other work in more than a tenth of the time, or their second hardware threads had: {len(disturbed)} of "
            f"{len(all_lines)} lines have less than {results['rounds']} quiet rounds; those with † have none.")


def tables(results, drawn):
    """@param drawn  the pictures: files by their words"""
    threads_measured = sorted(map(int, results["limits"]))
    limits = table(["", "multiply-adds, GF/s", "read from L2, GB/s", "copy in L2", "read from memory", "copy in memory"],
                   [[count(threads)] + [f"{results['limits'][str(threads)][key]:.0f}"
                                        for key in ("peak", "read_l2", "copy_l2", "read_memory", "copy_memory")] for threads in threads_measured])
    versions = ", ".join(f"{OTHERS.get(name, 'this library')} {version}" for name, version in results["versions"].items()
                         if name not in results["ours"][1:])
    relief = "; ".join(f"{count(int(threads))}: " + ", ".join(f"{OTHERS[peer]} {1e6 * seconds:.1f} µs" for peer, seconds in overhead.items())
                       for threads, overhead in results["overhead"].items() if overhead)
    text = [f"Measured on {results['date']}: {results['cpu']}, {results['limits'][str(threads_measured[0])]['target']}; {versions}. The least "
            f"time of all calls in {results['rounds']} rounds of {results['seconds']} s for each candidate. The cost of a call from Python, "
            f"which is that of a model of one element, is taken off the peers' times ({relief}). {disturbances(results)}\n", limits]
    text += [f"![{words}]({file})\n" for words, file in drawn.items()]
    parts = (("layers", "The layers of layers.json"), ("population", "Other layers from the same networks"),
             ("sweep", "Size of the image and number of channels"))
    for part, title in parts:
        for threads in threads_measured:
            found = lines(results, part, threads)
            text.append(section(f"{title}, {count(threads)}", "“Best peer ÷ it” above 1: ahead of the best peer on that layer.",
                                side_by_side(found, results["ours"]) if found else ""))
    text.append(section("Two threads against one", "How many times as fast.", scaling(results)))
    for threads in threads_measured:
        found = lines(results, "formats", threads)
        text.append(section(f"Data formats, {count(threads)}", "Share of the peak, and the speed of `channels_first` over `channels_last`.",
                            formats(results, found) if found else ""))
    for threads in threads_measured:
        found = lines(results, "neighbours", threads)
        columns = [column for column in found[0].seconds if column != "exact"] if found else []
        text.append(section(f"One more or one less, {count(threads)}", "Operations a second, in per cent of the exact layer's.",
                            variants(found, columns) if found else ""))
    return "\n".join(part for part in text if part)


# ---- pictures

def pictures(results, folder):
    """Draws what there is to draw. The files from where the page lies, by their words."""
    import matplotlib
    matplotlib.use("svg")
    matplotlib.rcParams |= {"svg.fonttype": "none", "svg.hashsalt": "sepconv", "font.size": 9, "axes.spines.top": False,
                            "axes.spines.right": False, "legend.frameon": False}
    from matplotlib import pyplot

    drawn = {}

    def save(figure, name, words):
        figure.tight_layout()
        figure.savefig(folder / f"{name}.svg", metadata={"Date": None})
        pyplot.close(figure)
        drawn[words] = f"{folder.name}/{name}.svg"

    threads_measured = sorted(map(int, results["limits"]))
    columns = [*results["ours"], *OTHERS]
    colours = dict(zip(columns, ["#1f4e8c", "#6fa8dc"][:len(results["ours"])] + ["#d9a441", "#7a9a54", "#b0604f"]))
    names = {column: OTHERS.get(column, f"sepconv, {column}") for column in columns}

    shown = [threads for threads in threads_measured if lines(results, "layers", threads)]
    if shown:
        figure, all_axes = pyplot.subplots(len(shown), 1, figsize=(11, 3.8 * len(shown)), squeeze=False)
        for axes, threads in zip(all_axes[:, 0], shown):
            found = lines(results, "layers", threads)
            present = [column for column in columns if any(column in line.seconds for line in found)]
            width = 0.8 / len(present)
            for i, column in enumerate(present):
                with_it = [(at, line) for at, line in enumerate(found) if column in line.seconds]
                axes.bar([at + i * width for at, _ in with_it], [100 * line.share(column) for _, line in with_it], width,
                         label=names[column], color=colours[column])
            axes.set_xticks([at + 0.4 - width / 2 for at in range(len(found))], [label(line).replace(", ", "\n").replace(" ", "\n", 2) for line in found],
                            fontsize=6)
            axes.set_ylabel(f"% of the peak, {count(threads)}")
            axes.set_ylim(0, 100)
        all_axes[0, 0].legend(ncols=len(columns), loc="lower center", bbox_to_anchor=(0.5, 1))
        save(figure, "bars", "Each layer's share of the peak, ours and the peers'")

    points = {part: lines(results, part, threads_measured[0]) for part in ("layers", "population")}
    if any(points.values()):
        limits = results["limits"][str(threads_measured[0])]
        figure, axes = pyplot.subplots(figsize=(8, 5))
        intensities = [operations(line.layer) / least_bytes(line.layer) for found in points.values() for line in found]
        span = [min(intensities) / 1.5, max(intensities) * 1.5]
        for key, words in (("read_l2", "L2"), ("read_memory", "memory")):
            slope = [span[0], min(span[1], limits["peak"] / limits[key])]
            axes.plot(slope, [x * limits[key] for x in slope], color="#999999", linewidth=1)
            axes.annotate(f"{words}: {limits[key]:.0f} GB/s", (span[0], min(limits["peak"], span[0] * limits[key])), color="#666666",
                          xytext=(2, 3), textcoords="offset points")
        axes.axhline(limits["peak"], color="#999999", linewidth=1)
        for column in results["ours"]:
            for part, marker in (("layers", "o"), ("population", ".")):
                with_it = [line for line in points[part] if column in line.seconds]
                axes.scatter([operations(line.layer) / least_bytes(line.layer) for line in with_it],
                             [line.gflops(column) for line in with_it], marker=marker, color=colours[column],
                             label=f"{names[column]}, {part}" if with_it else None)
        axes.scatter([operations(line.layer) / least_bytes(line.layer) for found in points.values() for line in found if line.best_peer],
                     [line.gflops(line.best_peer) for found in points.values() for line in found if line.best_peer], marker="x", s=14,
                     color="#b0604f", label="best peer of each layer")
        axes.set(xscale="log", yscale="log", xlabel="operations for each byte of input, output and weights",
                 ylabel=f"GF/s, {count(threads_measured[0])}")
        axes.legend(loc="lower right")
        save(figure, "roofline", "Every layer below the machine's limits")

    found = lines(results, "sweep", threads_measured[0])
    panels = [(kind, key, words) for kind, key, words in (("size", "h", "rows and columns, 32 channels and filters"),
                                                          ("channels", "c", "channels and filters, 14×14"))
              if any(line.name.startswith(kind) for line in found)]
    if panels:
        figure, all_axes = pyplot.subplots(1, len(panels), figsize=(11, 4), squeeze=False)
        for axes, (kind, key, words) in zip(all_axes[0], panels):
            chosen = [line for line in found if line.name.startswith(kind)]
            for column in columns:
                with_it = [line for line in chosen if column in line.seconds]
                axes.plot([line.layer[key] for line in with_it], [1e6 * line.seconds[column] for line in with_it], marker=".",
                          color=colours[column], label=names[column] if with_it else None)
            axes.set(xlabel=words, ylabel=f"µs, {count(threads_measured[0])}")
            axes.set_xscale("log", base=2)
            axes.set_yscale("log")
        all_axes[0, 0].legend()
        save(figure, "sweep", "Latency against the image's size and the channels")
    return drawn


def between_markers(page, text, begin=BEGIN, end=END):
    before, _, rest = page.partition(begin)
    return f"{before}{begin}\n\n{text}\n{end}{rest.partition(end)[2]}"


def write(results, folder):
    page = folder.with_suffix(".md")
    text = tables(results, pictures(results, folder))
    page.write_text(between_markers(page.read_text() if page.exists() else f"{BEGIN}\n{END}\n", text))


if __name__ == "__main__":
    where = pathlib.Path(sys.argv[1] if len(sys.argv) > 1 else pathlib.Path(__file__).resolve().parent.parent / "docs/benchmarks")
    write(json.loads((where / "results.json").read_text()), where)
