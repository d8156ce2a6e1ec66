#!/usr/bin/env python3
"""The inner loops of assembly that Halide emitted for x86 or 64-bit ARM: what they hold in registers, and how busy they keep the
multipliers.

    tests/assembly/loops.py build/release/generators/pipelines/sepconv_pointwise_2x7_avx512.s
    tests/assembly/loops.py --cpu skylake-avx512,znver4 FILE.s...

prints a line for each innermost loop that multiplies vectors and adds them: its label and Halide's name for it, how many
multiplications and instructions it has, how often it reads or writes a vector on the stack, and for each CPU model of llvm-mca the cycles
that one turn takes and the share of them in which the pipes that multiply and add are busy. With --table a row of Markdown for each file:
its loops with the most multiplications, the least share of them.
"""
import argparse
import json
import math
import re
import shutil
import subprocess
import sys
from dataclasses import dataclass, field
from pathlib import Path

# The models that a loop is tried on by default. LLVM 19 has none of a large CPU before AVX; that of Sandy Bridge stands for SSE4.1. Its
# models of the other CPUs with AVX-512 don't fit: those of skylake-avx512 and icelake-server count a load into one of the upper registers as
# two operations, and that of znver4 lets a broadcast take a pipe that multiplies (it gives the product of 2 x 7 67 %, measured are 97 %).
CPUS = {"avx512": ["sapphirerapids"], "avx2": ["haswell", "skylake", "znver3"], "sse41": ["sandybridge"],
        "neon": ["cortex-a76", "neoverse-n1", "neoverse-v1", "neoverse-v2", "apple-m1"]}
CPUS["neon_fp16"] = CPUS["neon"]

# LLVM's models have one pipe for 512 bits; the servers have two, like all for 256 bits, and Zen 4 does everything of 512 bits in two halves.
# So these loops are given to a model with vectors of 256 bits.
HALVED = re.compile(r"v(?:mov[au]ps|broadcastss|fn?m|add|sub|mul|min|max)")



@dataclass(frozen=True)
class Syntax:
    """How an architecture's assembly is written."""
    comment: str
    jump: re.Pattern  # with the label as its group
    vector: re.Pattern  # a vector register, or a scalar in one
    store: re.Pattern  # an instruction that writes memory; None: whether an instruction does is told by its last operand
    multiply: re.Pattern  # whether or not the addition is fused, of whole vectors
    add: re.Pattern
    triple: list[str]  # llvm-mca's options

    def operation(self, line):
        """The instruction's name, on ARM with the elements of its first operand: fmla.4s."""
        words = line.split(None, 1)
        element = re.match(r"v\d+(\.\d+[shd])\b", words[1]) if len(words) > 1 else None
        return words[0] + (element[1] if element else "")

    def alone(self, line):
        """The same operation on registers only, for the model to say what it costs by itself."""
        if self.store is not None:
            return line  # where only loads and stores reach memory
        operation, register = line.split()[0], self.vector.findall(line)[-1]
        return f"{operation} " + ", ".join([register] * (3 if operation.startswith("v") else 2))


X86 = Syntax("#", re.compile(r"\s+j\w+\s+(\.LBB\d+_\d+)"), re.compile(r"%[xyz]mm\d+"), None,
             re.compile(r"v?fn?m(?:add|sub)\d+ps$|v?mulps$"), re.compile(r"v?addps$"), ["-mtriple=x86_64"])
# Neither a scalar's multiplication nor one of a half vector counts.
ARM = Syntax("//", re.compile(r"\s+(?:b(?:\.\w+)?|cbn?z\s+\w+,|tbn?z\s+\w+, #\d+,)\s+(\.LBB\d+_\d+)"),
             re.compile(r"\b[vqdsh]\d+(?:\.\w+)?(?:\[\d+\])?"), re.compile(r"st"),
             re.compile(r"fm(?:la|ls|ul)\.(?:4s|8h)$"), re.compile(r"fadd\.(?:4s|8h)$"),
             ["-mtriple=aarch64", "-mattr=+fullfp16"])


@dataclass
class Loop:
    label: str
    name: str  # Halide's, of the loop in the source
    body: list[str] = field(repr=False)  # instructions, with the jump back
    frame: str = field(repr=False)  # the registers that point into the stack, as an expression
    syntax: Syntax = field(repr=False)
    jumps_back: int = 1  # more where it leaves out a part of its work, as at the image's border

    def named(self, pattern):
        return [line for line in self.body if pattern.match(self.syntax.operation(line))]

    @property
    def multiplications(self):
        """Multiplications of whole vectors, whether or not the addition is fused."""
        return [line for line in self.named(self.syntax.multiply) if self.syntax.vector.search(line)]

    @property
    def stack_reads(self):
        """Instructions that read a vector, or a scalar into one, from the stack."""
        return [line for line in self._on_stack() if not self._stores(line)]

    @property
    def stack_writes(self):
        """Instructions that write a vector to the stack, the register allocator's or the pipeline's own."""
        return [line for line in self._on_stack() if self._stores(line)]

    def _stores(self, line):
        if self.syntax.store is not None:
            return self.syntax.store.match(line) is not None
        return not self.syntax.vector.search(line.split(",")[-1])

    def _on_stack(self):
        address = re.compile(self.frame)
        return [line for line in self.body if self.syntax.vector.search(line) and address.search(line)]


def inner_loops(path):
    """The innermost loops of a file that have multiplications of vectors, in its order."""
    text = Path(path).read_text()
    lines = text.splitlines()
    syntax = X86 if "%rsp" in text else ARM
    labels, loops = {}, []
    frame = r"\(%rsp[,)]" if syntax is X86 else r"\[sp[,\]]"
    start = -1  # of the loop found last
    for i, line in enumerate(lines):
        if label := re.match(rf"(\.LBB\d+_\d+):(?:\s*{syntax.comment} %(.*))?", line):
            labels[label[1]] = i, (label[2] or "").strip('"')
        elif syntax is X86 and re.match(r"\s*\.cfi_startproc", line):
            frame = r"\(%rsp[,)]"
        elif syntax is X86 and re.match(r"\s+movq\s+%rsp, %rbp", line):
            frame = r"\(%r[sb]p[,)]"  # a function that aligns its stack
        elif syntax is ARM and re.match(r"\s+\.cfi_startproc", line):
            frame = r"\[sp[,\]]"
        elif syntax is ARM and re.match(r"\s+(?:mov|add)\s+x29, sp\b", line):
            frame = r"\[(?:sp|x29)[,\]]"
        elif (jump := syntax.jump.match(line)) and jump[1] in labels:
            begin, name = labels[jump[1]]
            if begin >= start:  # else another loop lies inside
                jumps_back = loops.pop().jumps_back + 1 if begin == start else 1
                body = [text for text in (code.split(syntax.comment)[0].strip() for code in lines[begin + 1 : i + 1])
                        if text and text[0] != "."]
                loops.append(Loop(jump[1], name, [text for text in body if not text.endswith(":")], frame, syntax, jumps_back))
                start = begin
    return [loop for loop in loops if loop.multiplications]


def find_mca():
    """The path of llvm-mca, or None."""
    return next((path for name in ("llvm-mca-19", "llvm-mca") if (path := shutil.which(name))), None)


@dataclass
class Busy:
    cycles: float  # of one turn of the loop
    least: float  # that its multiplications and additions alone take
    in_flight: int  # sums that must be open at once to hide the latency of an addition

    @property
    def share(self):
        return self.least / self.cycles


def busy(loops, cpu, mca):
    """For each loop, what llvm-mca's model of a CPU makes of it when its data is in the first level of cache and its jumps are foreseen.

    The least number of cycles is the model's own: its throughput of the same multiplications and additions alone, from registers.
    """
    if not loops:
        return []
    turns = 500
    syntax = loops[0].syntax
    regions = []
    for loop in loops:
        regions.append([line.replace("zmm", "ymm").replace("1to16", "1to8") if HALVED.match(line) else line for line in loop.body])
        regions.append([syntax.alone(line.replace("zmm", "ymm")) for line in loop.multiplications + loop.named(syntax.add)])
    text = "".join(f"# LLVM-MCA-BEGIN {i}\n" + "\n".join(body) + "\n# LLVM-MCA-END\n" for i, body in enumerate(regions))
    command = [mca, f"-mcpu={cpu}", *syntax.triple, f"-iterations={turns}", "-json", "-resource-pressure=0"]
    ran = subprocess.run(command, input=text, capture_output=True, text=True)
    if ran.returncode != 0 or ran.stderr:
        raise ValueError(f"llvm-mca -mcpu={cpu}: {ran.stderr.strip().splitlines()[0]}")
    found = {int(region["Name"]): region for region in json.loads(ran.stdout)["CodeRegions"]}
    results = []
    for i in range(0, len(regions), 2):
        addition = found[i + 1]["InstructionInfoView"]["InstructionList"][-1]
        results.append(Busy(found[i]["SummaryView"]["TotalCycles"] / turns, found[i + 1]["SummaryView"]["BlockRThroughput"],
                            math.ceil(addition["Latency"] / addition["RThroughput"])))
    return results


def features(loops):
    """The entry of CPUS for a file's loops."""
    text = "\n".join(line for loop in loops for line in loop.body)
    if loops and loops[0].syntax is ARM:
        return "neon_fp16" if ".8h" in text else "neon"
    return "avx512" if re.search(r"%zmm|%[xy]mm(?:1[6-9]|2\d|3[01])|\{%k|\{1to", text) else "avx2" if "vfm" in text else "sse41"


def table(files, cpus, mca):
    print("| function | multiplications | stack reads, writes | " + " | ".join(cpus) + " |")
    print("|---|---|---|" + "---|" * len(cpus))
    for file in files:
        loops = inner_loops(file)
        most = max(len(loop.multiplications) for loop in loops)
        loops = [loop for loop in loops if len(loop.multiplications) == most]
        shares = [min(result.share for result in busy(loops, cpu, mca)) for cpu in cpus]
        reads, writes = max(len(loop.stack_reads) for loop in loops), max(len(loop.stack_writes) for loop in loops)
        print(f"| `{Path(file).stem.removeprefix('sepconv_')}` | {most} | {reads}, {writes} | " +
              " | ".join(f"{100 * share:.1f}" for share in shares) + " |")


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("files", nargs="+", metavar="FILE.s")
    parser.add_argument("--cpu", help="models of llvm-mca, a comma between; by default some that people have")
    parser.add_argument("--table", action="store_true", help="Markdown")
    arguments = parser.parse_args()
    mca = find_mca()
    if arguments.table:
        if mca is None:
            sys.exit("loops.py: llvm-mca is not installed (Debian's llvm-19 has it)")
        return table(arguments.files, arguments.cpu.split(",") if arguments.cpu else CPUS[features(inner_loops(arguments.files[0]))], mca)
    if mca is None:
        print("loops.py: llvm-mca is not installed (Debian's llvm-19 has it), so no cycles", file=sys.stderr)
    for file in arguments.files:
        loops = inner_loops(file)
        cpus = arguments.cpu.split(",") if arguments.cpu else CPUS[features(loops)]
        results = {cpu: busy(loops, cpu, mca) for cpu in cpus} if mca else {}
        print(Path(file).stem)
        for i, loop in enumerate(loops):
            print(f"    {loop.label:10} {len(loop.multiplications):4} multiplications {len(loop.body):4} instructions, stack: "
                  f"{len(loop.stack_reads):2} reads {len(loop.stack_writes):2} writes  {loop.name}")
            for cpu, found in results.items():
                print(f"        {cpu:15} {found[i].cycles:7.1f} cycles, {found[i].least:6.1f} at least: {found[i].share:6.1%} busy")


if __name__ == "__main__":
    try:
        main()
    except (OSError, ValueError) as error:
        sys.exit(f"loops.py: {error}")
