"""Activations sent as differences from their last visit: Wang et al., NeurIPS 2022."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path

import pandas as pd

from btard.lab.reproductions.evidence import is_above, spread_table, told
from btard.lab.reproductions.reproduction import Findings, Judgement, Trend
from btard.lab.reproductions.settings import Scale
from btard.lab.reproductions.staged.codec_figures import (
    COMPRESSED,
    MICRO_BATCHES,
    PUBLISHED_SEQUENCES,
    RAW,
    STAGES,
    error_frame,
    throughput_frame,
    visits_frame,
)
from btard.lab.reproductions.staged.codec_run import BoundaryCodecs, CodecRun
from btard.lab.reproductions.staged.origin import TrainedOrigin, data_of
from btard.lab.reproductions.staged.run import StagedResult, StagedRun
from btard.lab.reproductions.staged.study import StagedStudy
from btard.lab.study.curves import Band, Lines, draw_lines
from btard.lab.study.html import Section
from btard.lab.study.statistics import summary

DIRECT = "direct, 4 bits forward, 8 back"
DELTA = "differences, 4 bits forward, 8 back"
CODECS = {
    "uncompressed": RAW,
    DIRECT: BoundaryCodecs(forward="fixpoint:bits=4", backward="fixpoint:bits=8"),
    DELTA: COMPRESSED,
    "differences, cache of 8 bits": BoundaryCodecs(forward="delta_lowbits:bits=4", backward="fixpoint:bits=8"),
    "differences, 3 bits forward, 6 back": BoundaryCodecs(forward="delta:bits=3", backward="fixpoint:bits=6"),
    "direct, 2 bits forward, 8 back": BoundaryCodecs(forward="fixpoint:bits=2", backward="fixpoint:bits=8"),
    "differences, 2 bits forward, 8 back": BoundaryCodecs(forward="delta:bits=2", backward="fixpoint:bits=8"),
}
_NAMES = {codecs: name for name, codecs in CODECS.items()}
NEAR_PERCENT = 1.0
_LEARNING_RATE = 3e-3

_SIZES = {
    Scale.SMOKE: (100, 128, 4, 1),
    Scale.SMALL: (400, 512, 6, 3),
    Scale.PAPER: (4000, 8192, 20, 5),
}
"""Steps of the origin, samples, epochs, and seeds."""


class AcSgd(StagedStudy):
    """Codecs by themselves, training through them, and steps over slow links."""

    name = "ac-sgd"
    title = (
        "Wang, Yuan, Rimanic, He, Dao, Chen, Re, Zhang: Fine-tuning Language Models over Slow Networks using "
        "Activation Compression with Guarantees, NeurIPS 2022"
    )

    def prepare(self, scale: Scale, data: str, home: Path) -> None:
        """Train the checkpoint."""
        TrainedOrigin(steps=_SIZES[scale][0], data=data).weights(home)

    def runs(self, scale: Scale, data: str) -> list[StagedRun]:
        """See `StagedStudy`."""
        steps, samples, epochs, seeds = _SIZES[scale]
        return [
            CodecRun(
                seed=seed,
                data=data,
                origin=TrainedOrigin(steps=steps, data=data),
                codecs=codecs,
                samples=samples,
                epochs=epochs,
                learning_rate=_LEARNING_RATE,
            )
            for codecs in CODECS.values()
            for seed in range(1, seeds + 1)
        ]

    def scaled_down(self, scale: Scale) -> list[str]:
        """See `StagedStudy`."""
        steps, samples, epochs, seeds = _SIZES[scale]
        said = [
            "Trained is GPT-2 with six blocks of hidden size 32 in three stages, on the built-in text by characters, "
            f"from the laboratory's own checkpoint ({steps} steps of 32 samples): {samples} samples, {epochs} epochs "
            f"in steps of 16, {seeds} seeds; published: GPT2-XL on WikiText-2 and arXiv abstracts, DeBERTa on QNLI and "
            "CoLA. As published, the first epoch is sent raw; differences are kept in float16 then. Stages are "
            "simulated peers that exchange signed messages and do not check each other.",
            "Throughput is of a virtual clock, not of GPUs: "
            f"{STAGES} stages, {MICRO_BATCHES} micro-batches of 1 x 1024 x 1600, GPipe. Computing takes as long as "
            f"makes uncompressed 10 Gbps {PUBLISHED_SEQUENCES:g} sequences a second, a backward pass twice as long as "
            "a forward pass; both are assumptions. Coding, a few milliseconds a message, and the optimizer take no "
            "time. Each stage has one way out for activations and gradients.",
            "Levels are symmetric, scales bfloat16 and rounding stochastic, as the theorem asks for; the published "
            "quantiser rounds to the nearest and has no level at the largest value. It is beside ours as legacy.",
        ]
        if scale is Scale.SMOKE:
            said.append("The smoke scale shows that everything works, and decides no trend of training.")
        return said

    def findings(self, results: Sequence[StagedResult], scale: Scale, directory: Path) -> Findings:
        """See `StagedStudy`."""
        errors, visits, links = error_frame(), visits_frame(), throughput_frame()
        trends, sections = [], []
        frame = loss_frame(results)
        if not frame.empty:
            trends += loss_trends(frame, decides=scale is not Scale.SMOKE)
            lines = Lines(
                "Training loss by codec", "loss", "loss (nats)", "epoch", "epoch", band=Band.NONE, data=data_of(results)
            )
            last = frame[frame["epoch"] == frame["epoch"].max()]
            table = spread_table(last, ["series"], "over").rename(columns={"mean": "percent above uncompressed"})
            sent = last.groupby("series", as_index=False).agg(mega_bytes=("mega_bytes", "mean"), loss=("loss", "mean"))
            sections.append(
                Section(
                    "Training",
                    [
                        "In the last epoch: the mean loss, and how far it is above the uncompressed one. Bytes are of "
                        "all messages of all epochs, the raw first one included, with their signatures."
                    ],
                    [sent.merge(table, on="series")],
                    [draw_lines(frame, lines, directory, "loss")],
                )
            )
        trends += link_trends(links) + codec_trends(errors, visits)
        speed = Lines(
            "Throughput by link",
            "sequences",
            "sequences a second",
            "Mbit",
            "link (Mbit/s)",
            band=Band.NONE,
            data="none, a virtual clock",
        )
        drawn = draw_lines(links.assign(series=links["codecs"], seed=1), speed, directory, "throughput")
        table = links.pivot(index="codecs", columns="link", values="sequences")
        table = table.reindex(index=list(dict.fromkeys(links["codecs"])), columns=list(dict.fromkeys(links["link"])))
        sections += [
            Section("Throughput", ["Sequences a second on the virtual clock."], [table.reset_index()], [drawn]),
            Section("Codecs", ["Relative error of normal values by bits.", _UNBOUNDED], [errors]),
            Section("An activation that stays the same", ["Relative error by visit, at 4 bits."], [visits]),
        ]
        return Findings(trends, sections)


_UNBOUNDED = (
    "The theorem asks for an error below the square root of 1/2. With 2 bits stochastic rounding exceeds it: each "
    "visit adds more error than it takes away, and training through differences gets worse with every epoch."
)


def loss_frame(results: Sequence[StagedResult]) -> pd.DataFrame:
    """Return one row a run and epoch: `series` names its codecs, `loss` is in nats, `over` in percent above the
    uncompressed run with the same seed, and `mega_bytes` are of all messages of the training."""
    rows = []
    for result in results:
        run = result.run
        assert isinstance(run, CodecRun)
        same = {"series": _NAMES[run.codecs], "seed": run.seed, "mega_bytes": result.found["sent_bytes"] / 1e6}
        rows += [{**same, "epoch": epoch, "loss": loss} for epoch, loss in enumerate(result.found["losses"])]
    if not rows:
        return pd.DataFrame()
    frame = pd.DataFrame(rows)
    plain = frame[frame["series"] == _NAMES[RAW]].set_index(["seed", "epoch"])["loss"]
    beside = [plain.get((row.seed, row.epoch), math.nan) for row in frame.itertuples()]
    return frame.assign(over=[100 * (loss / one - 1) for loss, one in zip(frame["loss"], beside, strict=True)])


def loss_trends(frame: pd.DataFrame, *, decides: bool) -> list[Trend]:
    """Judge the claims on training.

    Args:
        frame: as `loss_frame` gives it.
        decides: whether its runs are enough to decide anything.
    """
    later = frame[frame["epoch"] >= 1]
    largest = later.assign(over=later["over"].abs()).groupby(["series", "seed"], as_index=False)["over"].max()
    near = summary(largest.loc[largest["series"] == DELTA, "over"].to_list())
    last = frame[frame["epoch"] == frame["epoch"].max()].set_index(["series", "seed"])["over"]
    gap = summary((last.xs(DIRECT) - last.xs(DELTA)).to_list()) if DIRECT in last and DELTA in last else summary([])
    within = Judgement.SHOWN if near.high <= NEAR_PERCENT else Judgement.UNDECIDED
    found = [
        Trend(
            f"Differences, 4 and 8 bits: loss within {NEAR_PERCENT:g} % of uncompressed from the second epoch on",
            "almost the same",
            f"at most {told(near, '%')} off",
            Judgement.NOT_SHOWN if near.low > NEAR_PERCENT else within,
        ),
        Trend(
            "Direct quantisation with as many bits is worse",
            "clearly worse, or diverging",
            f"above differences by {told(gap, '%')} in the last epoch",
            is_above(gap),
        ),
    ]
    return found if decides else [Trend(one.claim, one.published, one.found, Judgement.UNDECIDED) for one in found]


def link_trends(links: pd.DataFrame) -> list[Trend]:
    """Judge the claims on throughput; a virtual clock has no chance in it, so nothing is undecided."""
    rate = links.set_index(["codecs", "link"])["sequences"]
    small = "4 bits forward, 8 back"
    slower = float(rate[small, "10gbit"] / rate[small, "100mbit"])
    lost = float(rate["uncompressed", "10gbit"] / rate["uncompressed", "100mbit"])
    gain = float(rate[small, "100mbit"] / rate["uncompressed", "100mbit"])
    middle = 100 * (1 - float(rate[small, "500mbit"] / rate["uncompressed", "10gbit"]))
    return [
        Trend(
            "Compressed, 100 Mbps is hardly slower than 10 Gbps",
            "1.18 times",
            f"{slower:.2f} times",
            _if(slower <= 1.25),
        ),
        Trend("Uncompressed, it is several times slower", "several times", f"{lost:.1f} times", _if(lost >= 3)),
        Trend(
            "Compression speeds slow links up",
            "4.3 times (end to end)",
            f"{gain:.1f} times at 100 Mbps",
            _if(gain >= 3),
        ),
        Trend(
            "Compressed 500 Mbps is not much slower than uncompressed 10 Gbps",
            "31 % slower",
            f"{middle:.0f} % slower",
            _if(middle <= 31),
        ),
    ]


def codec_trends(errors: pd.DataFrame, visits: pd.DataFrame) -> list[Trend]:
    """Judge what is known of the codecs themselves."""
    four = errors.set_index("bits").loc[4]
    falls = [before / after for before, after in zip(visits["error"][:3], visits["error"][1:4], strict=True)]
    floor = float(visits["error"].iloc[-1])
    return [
        Trend(
            "A micro-batch of GPT2-XL is 7.97 times smaller at 4 bits",
            "7.97",
            f"{four['times smaller']:.2f}",
            _if(round(four["times smaller"], 2) == 7.97),
        ),
        Trend(
            "The error of an activation that stays the same falls about tenfold with each visit, to that of float16",
            "0.1, 0.01, 0.001, 0.0003, 0.0002",
            ", ".join(f"{error:.2g}" for error in visits["error"]),
            _if(min(falls) > 5 and floor < 3e-4),
        ),
    ]


def _if(holds: bool) -> Judgement:
    return Judgement.SHOWN if holds else Judgement.NOT_SHOWN
