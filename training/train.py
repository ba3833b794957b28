"""Train one of the networks. Reads top to bottom; nothing hides in a framework.

    python -m training.train autoencoder --data cifar10.tar.xz --out runs/autoencoder
    python -m training.train partial-conv --data cifar10.tar.xz --out runs/partial-conv
    python -m training.train autoencoder --data cifar10.tar.xz --out runs/autoencoder --resume
    python -m training.train autoencoder --data cifar10.tar.xz --out runs/second \
        --start runs/autoencoder/last.pt --config training/configs/autoencoder-second.toml

Every random number of a step stems from (seed, step), so a resumed run goes on exactly as if it
had never stopped, and the same seed gives the same weights on the CPU (for the same number of
threads and version of PyTorch).
"""

from __future__ import annotations

import math
import signal
import time
from dataclasses import replace
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import numpy as np
import torch
import typer
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from torch import Tensor, nn

from training.checkpoint import Checkpoint, CheckpointError
from training.command import shell_command
from training.config import CONFIGS, Config, ConfigError
from training.config import load as load_config
from training.data import DataError, Pictures, spread
from training.data import load_all as load_pictures
from training.detecting import Detecting
from training.growing import begin_with, fits
from training.inpainting import Inpainting
from training.layers import Layers
from training.masks import SIDE, Sheets
from training.muon import Muon
from training.networks import DETECTOR, GUESSING, NETWORKS, build, multiple_of
from training.task import Task

Method = StrEnum("Method", {name: name for name in NETWORKS})  # type: ignore[misc]


def main(
    method: Annotated[Method, typer.Argument(help="Which network.")],
    data: Annotated[
        list[Path],
        typer.Option(
            help="cifar-10-python.tar.gz, a folder of pictures, or a tar of one; may be repeated."
        ),
    ],
    film: Annotated[
        Path | None, typer.Option(help="Tar of film artefacts, for the kinds film and frames.")
    ] = None,
    out: Annotated[
        Path | None, typer.Option(help="Folder for last.pt and best.pt. [default: runs/METHOD]")
    ] = None,
    config: Annotated[
        Path | None, typer.Option(help="TOML file. [default: training/configs/METHOD.toml]")
    ] = None,
    start: Annotated[
        Path | None, typer.Option(help="Begin with the averaged weights of another checkpoint.")
    ] = None,
    epochs: Annotated[int | None, typer.Option(min=1, help="Length of the schedule.")] = None,
    seed: Annotated[int, typer.Option(min=0, help="Fixes the weights on the CPU.")] = 0,
    device: Annotated[str, typer.Option(help="auto, cpu, cuda or cuda:N.")] = "auto",
    threads: Annotated[int | None, typer.Option(min=1, help="CPU threads.")] = None,
    minutes: Annotated[
        float | None, typer.Option(min=0.01, help="Stop after this time; --resume goes on.")
    ] = None,
    steps: Annotated[
        int | None, typer.Option(min=1, help="Stop at this step; --resume goes on.")
    ] = None,
    limit: Annotated[int | None, typer.Option(min=100, help="Use only N pictures.")] = None,
    validate_every: Annotated[int, typer.Option(min=1, help="Steps between validations.")] = 500,
    resume: Annotated[bool, typer.Option(help="Go on from OUT/last.pt.")] = False,
) -> None:
    """Train METHOD on the pictures in DATA; keep the last and the best checkpoint in OUT."""
    console = Console(stderr=True, soft_wrap=True, highlight=False)
    out = out or Path("runs") / method.value
    try:
        settings = load_config(config or CONFIGS / f"{method.value}.toml")
        settings = replace(settings, epochs=epochs or settings.epochs)
        if settings.patch % multiple_of(settings.network):
            raise ConfigError(
                f"patch {settings.patch}: give a multiple of {multiple_of(settings.network)}"
            )
        # The network's own answer at half size is asked for at half the patch.
        whole = 2 * multiple_of(settings.network)
        if settings.guess != (method.value in GUESSING):
            raise ConfigError(
                f"guess = {str(settings.guess).lower()}: {method.value} needs the opposite"
            )
        if settings.guess and settings.coarse_share and settings.patch % whole:
            raise ConfigError(
                f"patch {settings.patch}: with coarse_share give a multiple of {whole}"
            )
        drawn = settings.damage.kinds or settings.layers
        if drawn and settings.patch > SIDE:
            raise ConfigError(f"patch {settings.patch}: with kinds of damage give at most {SIDE}")
        if bool(settings.layers) != (method.value == DETECTOR):
            raise ConfigError(f"layers: {DETECTOR} needs some, and all others none")
        # The detector is trained at half and at a quarter of the size as well.
        if method.value == DETECTOR and settings.patch % (2 * whole):
            raise ConfigError(f"patch {settings.patch}: give a multiple of {2 * whole}")
        pictures = load_pictures(data).at_least(settings.patch)
        if limit:
            pictures = spread(pictures, limit)
        train, held_out = pictures.held_out()
        train = train.repeated()
        state = Checkpoint(
            method.value, settings, seed, train.origin, shell_command("training.train")
        )
        if start:
            earlier = Checkpoint.load(start)
            if earlier.name != state.name or not fits(
                state.name, earlier.config.network, settings.network
            ):
                raise CheckpointError(f"{start}: holds another network ({earlier.name})")
            state.averaged = earlier.averaged
            state.begun = earlier.trained_on
            state.past = [{"run": 1, **row} for row in earlier.log]
            state.command = f"{earlier.command} && {state.command}"
        if resume:
            state = Checkpoint.load(out / "last.pt")
            same_data = (state.origin, state.pictures or len(train)) == (train.origin, len(train))
            if not same_data:
                raise CheckpointError(
                    f"{out / 'last.pt'}: was trained on {state.pictures} pictures "
                    f"from {state.origin}: give the same --data and --limit"
                )
            if state.config != settings and may_change_length(state, settings, len(train)):
                state.config = settings
                # What led to a --start stays; only this run's own words are others now.
                before, also, _ = state.command.rpartition(" && ")
                own = shell_command("training.train").replace(" --resume", "")
                state.command = before + also + own
            if (state.name, state.config, state.seed) != (method.value, settings, seed):
                raise CheckpointError(
                    f"{out / 'last.pt'}: holds another run ({state.name}, seed {state.seed}, "
                    f"{state.config.epochs} epochs): give its own options or another --out"
                )
        elif (out / "last.pt").exists():
            raise CheckpointError(f"{out / 'last.pt'} exists: --resume goes on from it")
        where = torch.device(
            ("cuda" if torch.cuda.is_available() else "cpu") if device == "auto" else device
        )
        torch.empty(0, device=where)
        task = task_of(state, train, held_out, where, film)
        out.mkdir(parents=True, exist_ok=True)
    # RuntimeError and AssertionError: how PyTorch refuses a device.
    except (ConfigError, DataError, CheckpointError, OSError, RuntimeError, AssertionError) as why:
        console.print(f"Error: {why}", style="red", markup=False)
        raise typer.Exit(2) from None
    if threads:
        torch.set_num_threads(threads)
    try:
        fit(state, task, train, where, out, console, validate_every, minutes, steps)
    except FloatingPointError as error:
        console.print(f"Error: {error}: lower learning_rate in the config", style="red")
        raise typer.Exit(1) from None


def task_of(
    state: Checkpoint,
    train: Pictures,
    held_out: Pictures,
    device: torch.device,
    film: Path | None = None,
) -> Task:
    """What the network of a run learns."""
    config = state.config
    if state.name == DETECTOR:
        layers = Layers(config.layers, state.seed, film, count=config.layer_count)
        return Detecting(train, held_out, config, device, layers)
    sheets = Sheets(config.damage, state.seed, film) if config.damage.kinds else None
    return Inpainting(train, held_out, config, device, sheets)


def fit(
    state: Checkpoint,
    task: Task,
    train: Pictures,
    device: torch.device,
    out: Path,
    console: Console,
    validate_every: int = 500,
    minutes: float | None = None,
    steps: int | None = None,
) -> None:
    """Run `state` to the end of its schedule, to step `steps`, or until `minutes` have passed."""
    config = state.config
    torch.manual_seed(state.seed)
    network = build(state.name, config.network).to(device, memory_format=torch.channels_last)  # type: ignore[call-overload]
    optimizer: torch.optim.Optimizer
    if config.optimizer == "muon":
        optimizer = Muon(
            network.parameters(), config.learning_rate, weight_decay=config.weight_decay
        )
    else:
        optimizer = torch.optim.AdamW(
            network.parameters(), config.learning_rate, (0.9, 0.99),
            weight_decay=config.weight_decay,
        )  # fmt: skip
    if state.step:
        network.load_state_dict(state.weights)
        optimizer.load_state_dict(state.optimizer)
    elif state.averaged:
        begin_with(network, state.averaged)
    kept = state.averaged if state.step else network.state_dict()
    # In the network's own order, by which they are averaged.
    averaged = {name: kept[name].detach().clone().to(device) for name in network.state_dict()}
    per_epoch = math.ceil(len(train) / config.batch)
    total = per_epoch * config.epochs
    count = sum(parameter.numel() for parameter in network.parameters())
    console.print(
        f"{state.name}: {count / 1e6:.2f} M parameters, {len(train)} pictures from {train.origin}, "
        f"{total} steps of {config.batch}, on {device}, from step {state.step}",
        markup=False,
    )

    def validate(loss: float, scheduled: bool = True) -> None:
        scores = task.scores(build_like(network, averaged, state))
        judged = scores[task.score]
        found = {name: round(value, 3) for name, value in scores.items()}
        epoch = state.step / per_epoch
        state.history.append(
            {"step": state.step, "epoch": round(epoch, 3), "loss": round(loss, 5),
             **found, "seconds": round(state.seconds)}
        )  # fmt: skip
        others = " ".join(f"{name} {value}" for name, value in found.items() if name != task.score)
        console.print(
            f"step {state.step:6d}  epoch {epoch:6.2f}  loss {loss:.4f}  "
            f"{task.score.replace('_', ' ')} {judged:.3f} {task.unit}  {others}  "
            f"{state.seconds / 60:.1f} min"
        )
        state.weights = network.state_dict()
        state.averaged = averaged
        state.optimizer = optimizer.state_dict()
        # A stop validates too, but must not change what the run would call its best.
        better = scheduled and judged > state.best
        state.best = judged if better else state.best
        state.running = loss
        state.save(out / "last.pt")
        if better or not (out / "best.pt").exists():
            state.save(out / "best.pt")

    stopping = False

    def stop(*_: object) -> None:
        # A step that is cut short could not be resumed exactly: finish it. Ctrl-C again kills.
        nonlocal stopping
        stopping = True
        signal.signal(signal.SIGINT, interrupt)

    running = state.running
    state.pictures = len(train)
    started = time.monotonic() - state.seconds
    stop_at = math.inf if minutes is None else state.seconds + minutes * 60
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(),
               TimeRemainingColumn(), TextColumn("{task.fields[loss]}"))  # fmt: skip
    order_epoch, order = -1, np.empty(0, np.int64)
    with Progress(*columns, console=console, disable=not console.is_terminal) as progress:
        bar = progress.add_task(state.name, total=total, completed=state.step, loss="")
        interrupt = signal.signal(signal.SIGINT, stop)
        try:
            last = min(total, steps or total)
            while state.step < last and state.seconds < stop_at and not stopping:
                epoch, position = divmod(state.step, per_epoch)
                if epoch != order_epoch:
                    order_epoch = epoch
                    order = np.random.default_rng([state.seed, epoch]).permutation(len(train))
                chosen = order[position * config.batch : (position + 1) * config.batch]
                rng = np.random.default_rng([state.seed, epoch, position])
                for group in optimizer.param_groups:
                    group["lr"] = scheduled_rate(state.step, total, config)
                loss = task.loss(network, chosen, rng)
                optimizer.zero_grad(set_to_none=True)
                loss.backward()  # type: ignore[no-untyped-call]
                nn.utils.clip_grad_norm_(network.parameters(), 1.0)
                optimizer.step()

                state.step += 1
                decay = min(config.ema_decay, (1 + state.step) / (10 + state.step))
                with torch.no_grad():
                    current = list(network.state_dict().values())
                    torch._foreach_lerp_(list(averaged.values()), current, 1 - decay)
                state.seconds = time.monotonic() - started
                value = float(loss.detach())
                if not math.isfinite(value):
                    raise FloatingPointError(f"the loss is {value} at step {state.step}")
                running = value if not running else 0.98 * running + 0.02 * value
                progress.update(bar, completed=state.step, loss=f"loss {running:.4f}")
                if state.step % validate_every == 0 or state.step == total:
                    validate(running)
        finally:
            signal.signal(signal.SIGINT, interrupt)
        if stopping:
            console.print("interrupted: --resume goes on from here")
        if not state.history or state.history[-1]["step"] != state.step:
            validate(running, scheduled=False)
        console.print(f"last.pt and best.pt are in {out}", markup=False)


def may_change_length(state: Checkpoint, settings: Config, pictures: int) -> bool:
    """True where only the run's length is another, and its learning rate has not begun to fall:
    such a run is, to the last bit, the longer or shorter one."""
    if replace(state.config, epochs=settings.epochs) != settings or not settings.fall_share:
        return False
    per_epoch = math.ceil(pictures / settings.batch)
    shorter = per_epoch * min(settings.epochs, state.config.epochs)
    return state.step <= shorter * (1 - settings.fall_share)


def scheduled_rate(step: int, total: int, config: Config) -> float:
    """Linear warm-up, then half a cosine down to 1 % of the peak, or a late, straight fall."""
    warm = min(1.0, (step + 1) / config.warmup_steps)
    if config.fall_share:
        return config.learning_rate * min(warm, (total - step) / (total * config.fall_share))
    fall = 0.505 + 0.495 * math.cos(math.pi * step / total)
    return config.learning_rate * warm * fall


def build_like(network: nn.Module, weights: dict[str, Tensor], state: Checkpoint) -> nn.Module:
    """A copy of the network with other weights."""
    device = next(network.parameters()).device
    other = build(state.name, state.config.network).to(device)
    other.load_state_dict(weights)
    return other


if __name__ == "__main__":
    typer.run(main)
