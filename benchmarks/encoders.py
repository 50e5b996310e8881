"""How fast texts become vectors: our backends, stock sentence-transformers and fastembed, side by side.

All encode the same texts: docstrings of the installed packages, as the demo's collection words them, with MiniLM-L6 cut
at 256 tokens. Stock is `SentenceTransformer.encode` in float32 with its batches of 32. fastembed gets the same weights
as ONNX, an environment of its own, all cores, and two sizes of batches: its default and one that pads less. Systems
take turns: in every round each encodes the round's texts once, and a bare matrix product is timed, so that what
happens to the machine happens to all. Tokens are counted without padding.

With squad_dev, each system also encodes its paragraphs and a sample of its answerable questions, and nDCG@10 of exact
search says what its vectors find. Where there is a CUDA device, stock and the torch backend are compared there too, in
the same number formats.

    python benchmarks/encoders.py --rounds 7 --texts 256 --data ../shared/data/squad_dev

Prints its table, writes it with its plot, and ends with one JSON object: `ratio_to_stock`, `cosine_min` and `ndcg_loss`
(the share of stock's nDCG@10 that is lost; null: not measured) by backend, and `fastembed` (its best ratio to stock).
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from benchmarks.encoding import quality, report, systems, texts
from benchmarks.encoding.arithmetic import flops, peak
from benchmarks.encoding.fastembed_peer import fastembed
from benchmarks.encoding.report import Section
from benchmarks.encoding.rounds import Work, measured
from benchmarks.encoding.systems import MAX_TOKENS, MINILM, STOCK, Absent, System
from benchmarks.machine import command
from slipway.encoders import find_model

ROOT = Path(__file__).resolve().parents[1]
WARM_UP = 32  # texts
BACKENDS = ("sentence-transformers", "torch", "openvino", "openvino int8")
FASTEMBED_BATCHES = (256, 16)  # its default, and one that pads less
GPU_FORMATS = ("float32", "bfloat16", "float16")


def works(found: Sequence[str], rounds: int) -> list[Work]:
    """The texts in as many equal parts as rounds."""
    model = find_model(MINILM)
    lengths = [min(len(one.ids), MAX_TOKENS) for one in model.tokenizer().encode_batch(list(found))]
    size = len(found) // rounds
    spans = [slice(start, start + size) for start in range(0, size * rounds, size)]
    return [Work(found[span], sum(lengths[span]), flops(lengths[span], model.folder)) for span in spans]


def on_cpu(asked: argparse.Namespace, found: Sequence[str]) -> Section:
    """Every system that can run on the CPU, in float32 or int8."""
    ready: list[System | Absent | AbstractContextManager[System | Absent]] = [systems.stock()]
    for name in asked.backends:
        backend, _, precision = name.partition(" ")
        ready.append(systems.ours(backend, precision or "full"))
    if asked.fastembed:
        ready += [fastembed(asked.environment, batch) for batch in FASTEMBED_BATCHES]
    with systems.opened(ready) as opened:
        return compared(asked, found, "On the CPU", opened, "cpu", "float32")


def on_gpu(asked: argparse.Namespace, found: Sequence[str]) -> Iterator[Section]:
    """Stock and ours on a CUDA device, one section a number format; nothing where there is none."""
    import torch

    if not torch.cuda.is_available():
        return
    for dtype in GPU_FORMATS:
        pair = [systems.stock("cuda", dtype), systems.ours("torch", device="cuda", dtype=dtype)]
        yield compared(asked, found, f"On {torch.cuda.get_device_name()}, {dtype}", pair, "cuda", dtype)


def compared(
    asked: argparse.Namespace,
    found: Sequence[str],
    title: str,
    opened: Sequence[System | Absent],
    device: str,
    dtype: str,
) -> Section:
    """Warm up, measure in rounds, and judge what the vectors find."""
    present = [one for one in opened if isinstance(one, System)]
    rounds = works(found, asked.rounds)
    for system in present:
        system.encode(found[:WARM_UP])
    peaks: list[float] = []
    rows = measured(present, rounds, lambda: peaks.append(peak(device, dtype)))
    tokens = sum(work.tokens for work in rounds)
    count = sum(len(work.texts) for work in rounds)
    notes = [f"{count:,} texts in {asked.rounds} rounds, {tokens / count:.0f} tokens a text on average."]
    gains: dict[str, float] = {}
    if asked.data.is_dir():
        judged = texts.squad(asked.data, asked.questions, asked.paragraphs, asked.seed)
        for system in present:
            gains[system.name] = quality.ndcg(system, judged)
            print(f"{system.name}: nDCG@10 {gains[system.name]:.4f}", file=sys.stderr, flush=True)
        said = f"{len(judged.questions):,} questions over {len(judged.paragraphs):,} paragraphs of squad_dev"
        notes.append(f"nDCG@10 of exact search: {said}. What is lost is a share of stock's.")
    else:
        notes.append(f"nDCG@10 was not measured: there is no folder {asked.data} (--data names the one of squad_dev).")
    return Section(title, rows, [one for one in opened if isinstance(one, Absent)], peaks, gains, notes)


def last_line(sections: Sequence[Section]) -> dict[str, Any]:
    """The JSON object: figures of the CPU by system, and those of a GPU under `gpu` by number format."""
    cpu, *gpu = sections
    told = figures(cpu)
    peers = [row.ratio for row in cpu.rows if row.name.startswith("fastembed")]
    told["fastembed"] = round(max(peers), 3) if peers else None
    told["gpu"] = {section.rows[0].numbers: figures(section) for section in gpu}
    return told


def figures(section: Section) -> dict[str, Any]:
    """`ratio_to_stock`, `cosine_min` and `ndcg_loss` of our backends, by name."""
    ours = {row.name.removeprefix("slipway "): row for row in section.rows if row.name.startswith("slipway ")}
    return {
        "ratio_to_stock": {name: round(row.ratio, 3) for name, row in ours.items()},
        "cosine_min": {name: round(row.cosine_min, 7) for name, row in ours.items()},
        "ndcg_loss": {name: section.losses[row.name] for name, row in ours.items()},
        "tokens_per_second": {name: round(row.speed) for name, row in ours.items()}
        | {STOCK: round(next(row.speed for row in section.rows if row.name == STOCK))},
    }


def arguments() -> argparse.ArgumentParser:
    """What the command understands."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=7, help="in each of which every system encodes")
    parser.add_argument("--texts", type=int, default=256, help="docstrings of one round")
    parser.add_argument("--backends", nargs="*", choices=BACKENDS, default=BACKENDS, help="of ours")
    parser.add_argument("--no-fastembed", dest="fastembed", action="store_false", help="leave the peer out")
    parser.add_argument("--data", type=Path, default=Path("../shared/data/squad_dev"), help="folder of squad_dev")
    parser.add_argument("--questions", type=int, default=1_000, help="of squad_dev, drawn at random")
    parser.add_argument("--paragraphs", type=int, help="of squad_dev; all of them unless named")
    parser.add_argument("--sources", type=Path, default=ROOT / ".slipway/demo", help="folder of the demo's sources")
    parser.add_argument(
        "--environment", type=Path, default=ROOT / ".slipway/bench-env", help="fastembed's, made where it is not there"
    )
    parser.add_argument("--output", type=Path, default=ROOT / "docs/benchmarks", help="folder of the page and the plot")
    parser.add_argument("--seed", type=int, default=1)
    return parser


def measure(asked: argparse.Namespace, called: str) -> dict[str, Any]:
    """Measure, print the tables, write the page and the plot, and return the last line."""
    found = texts.docstrings(asked.sources, asked.rounds * asked.texts, asked.seed)
    sections = [on_cpu(asked, found), *on_gpu(asked, found)]
    for section in sections:
        print(f"\n{section.title}\n\n{report.table(section)}")
        for absent in section.absent:
            print(f"{absent.name} did not run: {absent.reason}")
    if not asked.data.is_dir():
        print(f"\nnDCG was not measured: there is no folder {asked.data}")
    report.write(asked.output, sections, called)
    return last_line(sections)


def main() -> None:
    """Measure and print."""
    asked = arguments().parse_args()
    print(json.dumps(measure(asked, command("benchmarks/encoders.py", sys.argv[1:]))))


if __name__ == "__main__":
    main()
