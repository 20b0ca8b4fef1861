"""How many floating-point operations a second this machine sustains, by size of model.

Where the figure hardly depends on the size, hours foretold from operations carry over from one
model to another: `python benchmarks/scaling.py`. Takes about two minutes, and an idle machine.
"""

from biasloop.config import parse_config
from biasloop.loop import estimate, gather, measure_throughput

#: Layers, width, heads.
SIZES = ((2, 128, 2), (4, 256, 4), (8, 512, 8))


def main() -> None:
    print("| parameters | train, tokens/s | generate | read | train, FLOP/s | generate | read |")
    print("|---|---|---|---|---|---|---|")
    for layers, width, heads in SIZES:
        scratch = {"layers": layers, "width": width, "heads": heads}
        config = parse_config(
            {
                "corpus": {"articles_per_label": 30},
                "base": {"model": "scratch", "scratch": scratch},
                "training": {"samples": "article", "max_tokens": 256},
            }
        )
        material = gather(config)
        count = estimate(config, material).parameters
        speeds = measure_throughput(config, material)
        each = (speeds.train, speeds.generate, speeds.read)
        # A token written has had one of a prompt read before it.
        once = 2 * count
        sustained = (3 * once * speeds.train, 2 * once * speeds.generate, once * speeds.read)
        cells = [f"{count:,}", *(f"{s:,.0f}" for s in each), *(f"{s:.2g}" for s in sustained)]
        print(f"| {' | '.join(cells)} |", flush=True)


if __name__ == "__main__":
    main()
