"""A PyTorch yardstick: one training iteration of improved contrastive divergence, timed.

It runs, in fp32 eager PyTorch, the operations that the public code of "Improved Contrastive
Divergence Training of Energy-Based Models" (Du et al., ICML 2021) runs per iteration, so that
another implementation can be timed beside it at equal work. It is an independent re-expression:
data are random and nothing is learned. Facts of that code mirrored here (CIFAR-10 defaults):

- chains start from a replay list of 10 000 uint8 CHW images (reservoir policy); each drawn image is
  augmented alone with PIL, dequantised as v/256 + U(0, 1/256), and kept with p = .999 (else noise);
- a step adds noise 0.001, takes the image gradient of the energies summed over images and scales
  (parameters keep requires_grad, their gradients are not asked for), moves by 100 times it, detaches,
  clamps to [0, 1]; the last step repeats the forward with create_graph on at most 128 images;
- loss = E+ - E- + E+^2 + E-^2 (means over images and scales, two forwards) + the energy of the
  linked images with parameters frozen - 0.3 log of their least distance to 100 augmented buffer
  images, by a broadcast difference; the new negatives enter the buffer before those are drawn;
- gradient norm clip 0.5, Adam(2e-4, (0, .9)), per-parameter EMA .99;
- network: weight-standardised 3x3 convolutions (unbiased std + 1e-5) with bias, instance norm up to
  128 channels and group norm (32) above, swish as x * sigmoid(x), skip; plain convolution, average
  pool 3/2/1 (padding counted) and swish on the way down; attention in the full network only; separate
  half and quarter networks that keep the first three and the first two of the four stages.

Left out: label (FiLM) layers (never called unconditionally), logging, the divergence guard, data
loading (worker processes there; off the clock here). One-channel images are not augmented, as there.
"""

import argparse
import copy
import json
import math
import resource
import sys
import time

import numpy as np
import torch
from PIL import Image, ImageEnhance
from torch import Tensor, nn
from torch.nn import functional

BUFFER_SIZE = 10_000
RESTART = 0.001
NOISE, STEP_SIZE = 0.001, 100.0
KL_IMAGES, COMPARED, ENTROPY_WEIGHT = 128, 100, 0.3
CLIP, LEARNING_RATE, BETAS, EMA_DECAY = 0.5, 2e-4, (0.0, 0.9), 0.99
CROP_AREA, LOG_ASPECT = (0.08, 1.0), (math.log(3 / 4), math.log(4 / 3))
JITTER, HUE, JITTER_P, GREY_P = 0.8, 0.4, 0.8, 0.2
PHASES = ("replay_augment", "langevin", "loss_backward", "update")
shrink = nn.AvgPool2d(3, stride=2, padding=1)


def swish(x: Tensor) -> Tensor:
    return x * torch.sigmoid(x)


class StandardisedConv(nn.Conv2d):
    """A 3x3 convolution whose filters are brought to zero mean and unit spread on every call."""

    def forward(self, x: Tensor) -> Tensor:
        kernel = self.weight - self.weight.mean(dim=(1, 2, 3), keepdim=True)
        spread = kernel.flatten(1).std(dim=1)[:, None, None, None] + 1e-5
        return functional.conv2d(x, kernel / spread, self.bias, padding=1)


class ResidualBlock(nn.Module):
    """Two standardised convolutions with a skip; then, if `out` is given, a step down to half size."""

    def __init__(self, width: int, out: int | None = None) -> None:
        super().__init__()
        self.conv1, self.conv2 = (StandardisedConv(width, width, 3, padding=1) for _ in range(2))
        per_image = width <= 128
        self.norm1, self.norm2 = (
            nn.InstanceNorm2d(width, affine=True) if per_image else nn.GroupNorm(32, width) for _ in "12"
        )
        self.down = nn.Conv2d(width, out, 3, padding=1) if out else None

    def forward(self, x: Tensor) -> Tensor:
        y = swish(self.norm1(self.conv1(x)))
        y = x + swish(self.norm2(self.conv2(y)))
        return y if self.down is None else swish(shrink(self.down(y)))


class SelfAttention(nn.Module):
    """SAGAN attention: query and key of an eighth of the width, residual gain starting at zero."""

    def __init__(self, width: int) -> None:
        super().__init__()
        outs = (width // 8, width // 8, width)
        self.query, self.key, self.value = (nn.Conv2d(width, out, 1) for out in outs)
        self.gamma = nn.Parameter(torch.zeros(1))

    def forward(self, x: Tensor) -> Tensor:
        query, key, value = (f(x).flatten(2) for f in (self.query, self.key, self.value))
        weights = torch.softmax(torch.bmm(query.transpose(1, 2), key), dim=-1)
        return self.gamma * torch.bmm(value, weights.transpose(1, 2)).view_as(x) + x


class ScaleNet(nn.Module):
    """Energy of one scale: stem, the first `stages` of the four stages, spatial mean, linear map."""

    def __init__(self, channels: int, filters: int, stages: int, attention: bool) -> None:
        super().__init__()
        self.stem = nn.Conv2d(channels, filters, 3, padding=1)
        blocks: list[nn.Module] = []
        width = filters
        for stage in range(stages):
            out = filters if stage == 0 else 2 * width
            blocks += [ResidualBlock(width), ResidualBlock(width, out)]
            width = out
            if attention and stage == 1:
                blocks.append(SelfAttention(width))
        self.blocks = nn.Sequential(*blocks)
        self.head = nn.Linear(width, 1)

    def forward(self, x: Tensor) -> Tensor:
        features = swish(self.blocks(swish(self.stem(x))))
        return self.head(features.mean(dim=2).mean(dim=2))


class MultiScaleEnergy(nn.Module):
    """Energies of shape [batch, 3]: quarter, half and full size, from three separate networks."""

    def __init__(self, channels: int, filters: int) -> None:
        super().__init__()
        self.full_net = ScaleNet(channels, filters, stages=4, attention=True)
        self.half_net = ScaleNet(channels, filters, stages=3, attention=False)
        self.quarter_net = ScaleNet(channels, filters, stages=2, attention=False)

    def forward(self, x: Tensor) -> Tensor:
        full, half = self.full_net(x), self.half_net(shrink(x))
        return torch.cat([self.quarter_net(shrink(shrink(x))), half, full], dim=-1)


def uniform(low: float, high: float) -> float:
    return torch.empty(1).uniform_(low, high).item()


def random_crop(image: Image.Image) -> Image.Image:
    """Crop a random area and aspect (ten tries, else keep all), resized back, bilinear."""
    wide, high = image.size
    for _ in range(10):
        area = wide * high * uniform(*CROP_AREA)
        aspect = math.exp(uniform(*LOG_ASPECT))
        w, h = round(math.sqrt(area * aspect)), round(math.sqrt(area / aspect))
        if 0 < w <= wide and 0 < h <= high:
            top, left = (torch.randint(n, (1,)).item() for n in (high - h + 1, wide - w + 1))
            part = image.crop((left, top, left + w, top + h))
            return part.resize((wide, high), Image.Resampling.BILINEAR)
    return image


def shift_hue(image: Image.Image, turn: float) -> Image.Image:
    hue, *others = image.convert("HSV").split()
    turned = ((np.asarray(hue, dtype=np.int16) + int(turn * 255)) % 256).astype(np.uint8)
    return Image.merge("HSV", (Image.fromarray(turned), *others)).convert("RGB")


def jitter_colour(image: Image.Image) -> Image.Image:
    """Brightness, contrast, saturation and hue, each by its own draw, in random order."""
    enhancers = (ImageEnhance.Brightness, ImageEnhance.Contrast, ImageEnhance.Color)
    gains, turn = [uniform(1 - JITTER, 1 + JITTER) for _ in enhancers], uniform(-HUE, HUE)
    for i in torch.randperm(4).tolist():
        image = enhancers[i](image).enhance(gains[i]) if i < 3 else shift_hue(image, turn)
    return image


def augment(pixels: np.ndarray) -> np.ndarray:
    """SimCLR-style augmentation of one uint8 CHW image; returns float32 in [0, 1]."""
    image = random_crop(Image.fromarray(pixels.transpose(1, 2, 0)))
    if torch.rand(1).item() < 0.5:
        image = image.transpose(Image.Transpose.FLIP_LEFT_RIGHT)
    if torch.rand(1).item() < JITTER_P:
        image = jitter_colour(image)
    if torch.rand(1).item() < GREY_P:
        image = image.convert("L").convert("RGB")
    return np.ascontiguousarray(np.asarray(image).transpose(2, 0, 1), dtype=np.float32) / 255


class ReplayBuffer:
    """A full reservoir of uint8 images: the n-th image offered enters with probability size / n."""

    def __init__(self, images: np.ndarray, rng: np.random.Generator) -> None:
        self.images, self.offered, self.rng = list(images), len(images), rng

    def draw(self, count: int) -> np.ndarray:
        """`count` random images, augmented and dequantised, as floats in [0, 1)."""
        chosen = [self.images[i] for i in self.rng.integers(len(self.images), size=count)]
        if chosen[0].shape[0] == 3:
            chosen = [augment(image) * 255 for image in chosen]
        return dequantise(np.stack(chosen), self.rng)

    def add(self, images: Tensor) -> None:
        for image in (images.numpy().clip(0, 1) * 255).astype(np.uint8):
            self.offered += 1
            slot = int(self.rng.integers(self.offered))
            if slot < len(self.images):
                self.images[slot] = image


def dequantise(levels: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    return levels / 256 + rng.uniform(0, 1 / 256, levels.shape)


def langevin(model: nn.Module, x: Tensor, steps: int, kl_branch: bool) -> tuple[Tensor, Tensor | None]:
    """The chain's end without a graph and, if asked, the last step again with one."""
    linked = None
    for step in range(steps):
        x = (x + NOISE * torch.randn_like(x)).requires_grad_()
        gradient = torch.autograd.grad(model(x).sum(), x)[0]
        if kl_branch and step == steps - 1:
            head = x[:KL_IMAGES]
            slope = torch.autograd.grad(model(head).sum(), head, create_graph=True)[0]
            linked = (head - STEP_SIZE * slope).clamp(0, 1)
        x = (x - STEP_SIZE * gradient).detach().clamp(0, 1)
    return x, linked


def log_nearest(images: Tensor, others: Tensor) -> Tensor:
    gaps = images.flatten(1).clamp(0, 1)[:, None, :] - others.flatten(1)[None, :, :]
    return torch.linalg.vector_norm(gaps, dim=-1).min(dim=1)[0].log().mean()


class Clock:
    def __init__(self) -> None:
        self.seconds, self.last = dict.fromkeys(PHASES, 0.0), time.perf_counter()

    def mark(self, phase: str) -> None:
        begin, self.last = self.last, time.perf_counter()
        self.seconds[phase] += self.last - begin


class Trainer:
    def __init__(self, args: argparse.Namespace) -> None:
        self.steps, self.batch, self.rng = args.steps, args.batch, np.random.default_rng(0)
        self.shape = (args.channels, args.size, args.size)
        self.model = MultiScaleEnergy(args.channels, args.filters)
        self.average = copy.deepcopy(self.model)
        self.optimiser = torch.optim.Adam(self.model.parameters(), lr=LEARNING_RATE, betas=BETAS)
        images = self.rng.integers(256, size=(BUFFER_SIZE, *self.shape), dtype=np.uint8)
        self.buffer = ReplayBuffer(images, self.rng)
        self.loss = float("nan")

    def start_chains(self) -> Tensor:
        replayed = torch.from_numpy(self.buffer.draw(self.batch)).float()
        keep = torch.from_numpy(self.rng.uniform(size=self.batch) > RESTART)
        return torch.where(keep[:, None, None, None], replayed, torch.rand(replayed.shape))

    def run_chain(self) -> dict[str, float]:
        """Only the chain, without the KL branch; the start is drawn off the clock."""
        start = self.start_chains()
        clock = Clock()
        langevin(self.model, start, self.steps, kl_branch=False)
        clock.mark("langevin")
        return clock.seconds

    def run_iteration(self) -> dict[str, float]:
        levels = self.rng.integers(256, size=(self.batch, *self.shape))
        data = torch.from_numpy(dequantise(levels, self.rng)).float()
        clock = Clock()
        start = self.start_chains()
        clock.mark("replay_augment")
        negatives, linked = langevin(self.model, start, self.steps, kl_branch=True)
        clock.mark("langevin")
        real, fake = self.model(data), self.model(negatives)
        clock.mark("loss_backward")
        self.buffer.add(negatives)
        clock.mark("update")
        others = torch.from_numpy(self.buffer.draw(COMPARED)).float()
        clock.mark("replay_augment")
        loss = real.mean() - fake.mean() + real.square().mean() + fake.square().mean()
        self.model.requires_grad_(False)  # so that the next gradient reaches `linked` only
        loss = loss + self.model(linked).mean()
        self.model.requires_grad_(True)
        loss = loss - ENTROPY_WEIGHT * log_nearest(linked, others)
        loss.backward()
        clock.mark("loss_backward")
        self.update()
        clock.mark("update")
        self.loss = loss.item()
        return clock.seconds

    @torch.no_grad()
    def update(self) -> None:
        nn.utils.clip_grad_norm_(self.model.parameters(), CLIP)
        self.optimiser.step()
        self.optimiser.zero_grad()
        for mean, now in zip(self.average.parameters(), self.model.parameters()):
            mean.copy_(EMA_DECAY * mean + (1 - EMA_DECAY) * now)


def measure(args: argparse.Namespace) -> dict[str, object]:
    trainer = Trainer(args)
    run = trainer.run_chain if args.mode == "langevin" else trainer.run_iteration
    run()  # warm-up
    laps = sorted((run() for _ in range(args.iters)), key=lambda lap: sum(lap.values()))
    lap = laps[len(laps) // 2]  # the median one, so that its split adds up to its total
    total, peak = sum(lap.values()), resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    if args.mode == "langevin":
        result = {
            "ms_per_step": round(1e3 * total / args.steps, 3),
            "image_steps_per_s": round(args.batch * args.steps / total, 2),
        }
    else:
        result = {
            "ms_per_iteration": round(1e3 * total, 2),
            "split_ms": {name: round(1e3 * seconds, 2) for name, seconds in lap.items()},
            "last_loss": trainer.loss if math.isfinite(trainer.loss) else None,
        }
    return {
        "mode": args.mode,
        **result,
        "ms_range": [round(1e3 * sum(each.values()), 2) for each in (laps[0], laps[-1])],
        "parameters": sum(p.numel() for p in trainer.model.parameters()),
        "peak_rss_mib": round(peak / (1024**2 if sys.platform == "darwin" else 1024), 1),
        "torch": torch.__version__,
        "config": {k: v for k, v in vars(args).items() if k not in ("mode", "json")},
    }


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    sizes = {"filters": 32, "batch": 32, "size": 32, "channels": 3, "steps": 10, "iters": 3, "threads": 2}
    for name, value in sizes.items():
        parser.add_argument(f"--{name}", type=int, default=value, help="default %(default)s")
    parser.add_argument("--mode", choices=("langevin", "iteration"), default="iteration")
    parser.add_argument("--json", action="store_true", help="the JSON object on one line")
    args = parser.parse_args()
    if args.size < 16 or args.filters % 8 or args.channels not in (1, 3) or min(args.steps, args.iters) < 1:
        parser.error("needs size >= 16, filters divisible by 8, channels 1 or 3, steps and iters >= 1")
    return args


if __name__ == "__main__":
    options = parse()
    torch.manual_seed(0)
    torch.set_num_threads(options.threads)
    print(json.dumps(measure(options), indent=None if options.json else 2))
