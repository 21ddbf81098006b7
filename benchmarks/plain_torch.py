"""The same networks in plain PyTorch, as a user would write them, for `benchmarks.neural`.

Windows are gathered from the rows by index, as in kubecast; there is no loader between.
"""

import argparse
import json
import time
from collections.abc import Iterator

import numpy as np
import torch
from torch import nn

CHANNELS = 3  # of a row: value, change, whether it was observed


class Lstm(nn.Module):
    """Stacked LSTM layers, each followed by dropout."""

    def __init__(self, width: int, units: list[int], dropout: float) -> None:
        super().__init__()
        sizes = [width, *units]
        self.layers = nn.ModuleList(
            nn.LSTM(size, count, batch_first=True) for size, count in zip(sizes, units, strict=False)
        )
        self.dropout = nn.Dropout(dropout)
        self.width = units[-1]

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """The last step's output; shape (windows, width)."""
        for layer in self.layers:
            x = self.dropout(layer(x)[0])
        return x[:, -1]


class Transformer(nn.Module):
    """An encoder that is normalised before each sublayer."""

    def __init__(self, width: int, sizes: list[int], dropout: float, length: int) -> None:
        super().__init__()
        model, heads, layers, inner = sizes
        self.project = nn.Linear(width, model)
        self.register_buffer("position", torch.randn(length, model) * 0.02)
        layer = nn.TransformerEncoderLayer(model, heads, inner, dropout, batch_first=True, norm_first=True)
        layer.dropout = nn.Identity()  # between the inner layers, where kubecast has none
        norm = nn.LayerNorm(model, eps=1e-6)
        self.encoder = nn.TransformerEncoder(layer, layers, norm, enable_nested_tensor=False)
        self.dropout = nn.Dropout(dropout)
        self.width = model

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """The mean over the steps; shape (windows, width)."""
        return self.encoder(self.dropout(self.project(x) + self.position)).mean(dim=1)


class Network(nn.Module):
    """A body and the linear layer to the horizon, which sees the context too."""

    def __init__(self, body: nn.Module, context: int, horizon: int) -> None:
        super().__init__()
        self.body = body
        self.head = nn.Linear(body.width + context, horizon)

    def forward(self, steps: torch.Tensor, context: torch.Tensor) -> torch.Tensor:
        """Forecasts of shape (windows, horizon)."""
        wide = context[:, None].expand(-1, steps.shape[1], -1)
        return self.head(torch.cat([self.body(torch.cat([steps, wide], 2)), context], 1))


def main() -> None:
    """Train, and print the seconds of each epoch."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--network", choices=["lstm", "transformer"])
    parser.add_argument("--sizes", type=int, nargs="+")
    parser.add_argument("--batch", type=int)
    parser.add_argument("--updates", type=int, help="of an epoch")
    parser.add_argument("--epochs", type=int)
    parser.add_argument("--window", type=int)
    parser.add_argument("--horizon", type=int)
    parser.add_argument("--context", type=int, help="width")
    parser.add_argument("--rows", type=int)
    parser.add_argument("--threads", type=int)
    parser.add_argument("--seed", type=int)
    given = parser.parse_args()
    torch.set_num_threads(given.threads)
    torch.manual_seed(given.seed)
    width = CHANNELS + given.context
    body = (
        Lstm(width, given.sizes, 0.2)
        if given.network == "lstm"
        else Transformer(width, given.sizes, 0.2, given.window)
    )
    network = Network(body, given.context, given.horizon).train()
    seconds, cpu = [], []
    optimizer = torch.optim.Adam(network.parameters(), 1e-3)
    batches = _batches(given)
    for _ in range(given.epochs):
        began, busy = time.perf_counter(), time.process_time()
        for _ in range(given.updates):
            steps, context, target = next(batches)
            optimizer.zero_grad()
            loss = nn.functional.mse_loss(network(steps, context), target)
            loss.backward()
            nn.utils.clip_grad_norm_(network.parameters(), 1.0)
            optimizer.step()
        seconds.append(time.perf_counter() - began)
        cpu.append(time.process_time() - busy)
    result = {"seconds": seconds, "cpu": cpu, "torch": torch.__version__}
    print(json.dumps(result | {"weights": sum(each.numel() for each in network.parameters())}))


def _batches(given: argparse.Namespace) -> Iterator[tuple[torch.Tensor, torch.Tensor, torch.Tensor]]:
    random = np.random.default_rng(given.seed)
    y = torch.tensor(random.normal(size=given.rows).cumsum(), dtype=torch.float32)
    context = torch.tensor(random.normal(size=(given.rows, given.context)), dtype=torch.float32)
    back, ahead = torch.arange(1 - given.window, 1), torch.arange(1, given.horizon + 1)
    while True:
        order = torch.tensor(random.permutation(np.arange(given.window, given.rows - given.horizon)))
        for rows in order.split(given.batch)[: len(order) // given.batch]:
            values = y[rows[:, None] + back]
            mean, deviation = values.mean(1, keepdim=True), values.std(1, keepdim=True)
            scaled = (values - mean) / deviation
            change = torch.diff(scaled, dim=1, prepend=scaled[:, :1])
            steps = torch.stack([scaled, change, torch.ones_like(scaled)], 2)
            yield steps, context[rows], (y[rows[:, None] + ahead] - values[:, -1:]) / deviation


if __name__ == "__main__":
    main()
