"""PyTorch as a contender (the protocol is in ../turn.ts). Argument: number of threads. Started as `python3 -c SOURCE THREADS`.

Every step is what a PyTorch user would write: nn modules, fused Adam where it exists, zero_grad to None, inference mode for inference, and
denormals flushed. A streaming workload has several such forms; each is timed at first, and the fastest one takes the turns: nn.GRU or nn.LSTM
called step by step, or (workloads named "cells:...") nn.GRUCell or nn.LSTMCell; eager, or traced and frozen; with and without oneDNN.
"""
import json
import sys
import time

import torch
from torch import nn
from torch.nn import functional

THREADS = int(sys.argv[1])
torch.set_num_threads(THREADS)
torch.manual_seed(1)
torch.set_flush_denormal(True)
now = time.perf_counter


def adam(parameters):
    try:
        probe = torch.zeros(1, requires_grad=True)
        probe.grad = torch.zeros(1)
        torch.optim.Adam([probe], fused=True).step()
        return torch.optim.Adam(parameters, lr=1e-3, fused=True)
    except (RuntimeError, TypeError):
        return torch.optim.Adam(parameters, lr=1e-3)


def training(layer, batch, steps, inputs, hidden, every_step):
    recurrent, head = layer(inputs, hidden), nn.Linear(hidden, 10)
    optimizer = adam([*recurrent.parameters(), *head.parameters()])
    x = torch.randn(steps, batch, inputs)
    targets = torch.randint(0, 10, (steps * batch if every_step else batch,))

    def step():
        optimizer.zero_grad(set_to_none=True)
        output, _ = recurrent(x)
        logits = head(output).flatten(0, 1) if every_step else head(output[-1])
        functional.cross_entropy(logits, targets).backward()
        optimizer.step()

    return step


def language_model():
    words, width, batch, steps = 10_000, 650, 20, 35
    embedding, recurrent, head = nn.Embedding(words, width), nn.LSTM(width, width, 2), nn.Linear(width, words)
    parameters = [*embedding.parameters(), *recurrent.parameters(), *head.parameters()]
    optimizer = adam(parameters)
    tokens, targets = torch.randint(0, words, (steps, batch)), torch.randint(0, words, (steps * batch,))
    carried = [torch.zeros(2, batch, width), torch.zeros(2, batch, width)]

    def step():
        optimizer.zero_grad(set_to_none=True)
        output, state = recurrent(embedding(tokens), tuple(carried))
        carried[:] = [part.detach() for part in state]
        functional.cross_entropy(head(output).flatten(0, 1), targets).backward()
        nn.utils.clip_grad_norm_(parameters, 0.25)
        optimizer.step()

    return step


def offline(batch, steps, inputs, hidden):
    recurrent, x = nn.LSTM(inputs, hidden).eval(), torch.randn(steps, batch, inputs)

    def step():
        with torch.inference_mode():
            recurrent(x)

    return step


class GRUStream(nn.Module):
    def __init__(self, inputs, hidden, layers, outputs):
        super().__init__()
        self.recurrent, self.head = nn.GRU(inputs, hidden, layers), nn.Linear(hidden, outputs)

    def forward(self, x, h):
        output, h = self.recurrent(x, h)
        return self.head(output[-1]), h


class LSTMStream(nn.Module):
    def __init__(self, inputs, hidden, layers, outputs):
        super().__init__()
        self.recurrent, self.head = nn.LSTM(inputs, hidden, layers), nn.Linear(hidden, outputs)

    def forward(self, x, h, c):
        output, (h, c) = self.recurrent(x, (h, c))
        return self.head(output[-1]), h, c


class GRUCells(nn.Module):
    def __init__(self, inputs, hidden, outputs):
        super().__init__()
        self.cell, self.head = nn.GRUCell(inputs, hidden), nn.Linear(hidden, outputs)

    def forward(self, x, h):
        h = self.cell(x, h)
        return self.head(h), h


class LSTMCells(nn.Module):
    def __init__(self, inputs, hidden, outputs):
        super().__init__()
        self.first, self.second = nn.LSTMCell(inputs, hidden), nn.LSTMCell(hidden, hidden)
        self.head = nn.Linear(hidden, outputs)

    def forward(self, x, h0, c0, h1, c1):
        h0, c0 = self.first(x, (h0, c0))
        h1, c1 = self.second(h0, (h1, c1))
        return self.head(h1), h0, c0, h1, c1


def stream(module, x, state, frozen, onednn):
    """A step that carries its own state, in one of its forms; to be run in inference mode."""
    torch.backends.mkldnn.set_flags(onednn)
    module = module.eval()
    if frozen:
        module = torch.jit.freeze(torch.jit.trace(module, (x, *state)))
    carried = list(state)

    def step():
        carried[:] = module(x, *carried)[1:]

    return step


STREAMS = {
    "W5gru": lambda: (GRUStream(40, 128, 1, 12), torch.randn(1, 1, 40), [torch.zeros(1, 1, 128)]),
    "cells:W5gru": lambda: (GRUCells(40, 128, 12), torch.randn(1, 40), [torch.zeros(1, 128)]),
    "W5lstm": lambda: (LSTMStream(64, 256, 2, 12), torch.randn(1, 1, 64), [torch.zeros(2, 1, 256)] * 2),
    "cells:W5lstm": lambda: (LSTMCells(64, 256, 12), torch.randn(1, 64), [torch.zeros(1, 256)] * 4),
}
STEPS = {
    "W1": lambda: training(nn.GRU, 32, 128, 16, 64, False),
    "W2": lambda: training(nn.LSTM, 64, 100, 128, 256, True),
    "W3": language_model,
    "W4": lambda: training(nn.LSTM, 16, 50, 8, 32, False),
    "W6a": lambda: offline(1, 1000, 64, 256),
    "W6b": lambda: offline(64, 100, 128, 256),
}


def warm_up(step):
    start, steps = now(), 0
    while True:
        step()
        steps += 1
        if now() - start > 3 or (steps > 1 and now() - start > 0.3):
            return


def time_steps(step, seconds):
    start, steps = now(), 0
    while True:
        step()
        steps += 1
        elapsed = now() - start
        if elapsed > seconds:
            return {"ms": elapsed / steps * 1e3, "steps": steps}


def time_single_steps(step, seconds):
    samples, start = [], now()
    while now() - start < seconds:
        before = time.perf_counter_ns()
        step()
        samples.append(time.perf_counter_ns() - before)
    elapsed = now() - start
    samples.sort()
    count = len(samples)
    return {
        "ms": elapsed / count * 1e3,
        "steps": count,
        "p50": samples[count // 2] / 1e6,
        "p99": samples[min(count - 1, int(count * 0.99))] / 1e6,
    }


def fastest(make):
    """Times every form in three passes and keeps the one with the lowest median: its name, its oneDNN flag, its step."""
    module, x, state = make()
    forms = [
        (f"{'frozen' if frozen else 'eager'}, {'oneDNN' if onednn else 'no oneDNN'}", onednn, stream(module, x, state, frozen, onednn))
        for frozen in (False, True)
        for onednn in (True, False)
    ]
    best = {}
    for _ in range(3):
        for name, onednn, step in forms:
            torch.backends.mkldnn.set_flags(onednn)
            time_single_steps(step, 0.05)
            best[name] = min(best.get(name, float("inf")), time_single_steps(step, 0.1)["p50"])
    return min(forms, key=lambda form: best[form[0]])


ready = {}


def turn(workload, seconds):
    if workload in STREAMS:
        with torch.inference_mode():
            if workload not in ready:
                ready[workload] = fastest(STREAMS[workload])
            name, onednn, step = ready[workload]
            torch.backends.mkldnn.set_flags(onednn)
            return {**time_single_steps(step, seconds), "variant": name}
    if workload not in STEPS:
        return {"error": f'no workload "{workload}"'}
    if workload not in ready:
        ready[workload] = STEPS[workload]()
        warm_up(ready[workload])
    return time_steps(ready[workload], seconds)


def say(value):
    print(json.dumps(value), flush=True)


capability = torch.backends.cpu.get_cpu_capability() if hasattr(torch.backends, "cpu") else "unknown"
say({"name": "torch", "version": torch.__version__, "isa": capability, "threads": torch.get_num_threads()})
for line in sys.stdin:
    workload, seconds = line.split()
    say(turn(workload, float(seconds)))
