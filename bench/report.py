"""Writes tables and pictures from what bench/compare measured."""


def operations(layer):
    """2·N·OH·OW·C·M·(k·k + F)"""
    pixels = layer.get("n", 1) * -(-layer["h"] // layer["s"]) * -(-layer["w"] // layer["s"])
    return 2 * pixels * layer["c"] * layer["m"] * (layer["k"] ** 2 + layer["f"])


def relieved(line, overhead):
    """Seconds of each column, a peer's without what its call costs by itself."""
    return {column: seconds - overhead.get(column, 0) for column, seconds in line["seconds"].items()}


def progress(line, overhead):
    times = "  ".join(f"{column} {seconds * 1e6:.1f}" for column, seconds in relieved(line, overhead).items())
    share = operations(line["layer"]) / next(iter(line["seconds"].values())) / line["peak"] / 1e9
    return f"{line['name']:<28} {line['threads']} threads  {share:6.1%} of {line['peak']:.0f}  us: {times}"


def write(results, folder):
    pass
