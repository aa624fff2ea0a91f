#!/usr/bin/env python3
"""Reference numbers from PyTorch's CTC loss in float64: losses and gradients by the logits.

Usage: torch-ctc.py SEED OUT.json   (needs torch; Debian's python3-torch serves)
Examples of a case differ in length and target; targets hold equal neighbours, single tokens and nothing at all. Gradients are those of
sum(coefficients * losses). Logits are [batch][time][class]; targets are lists.
"""
import json, sys
import torch
from torch.nn.functional import ctc_loss, log_softmax

seed, out = int(sys.argv[1]), sys.argv[2]
g = torch.Generator().manual_seed(seed)
def noise(*s): return (torch.rand(*s, generator=g, dtype=torch.float64) * 6 - 3)

shapes = [
    dict(time=7, classes=4, blank=3, lengths=[7, 4, 1, 5], targets=[[0, 0, 1], [2], [], [1, 1, 1]]),
    dict(time=12, classes=5, blank=0, lengths=[12, 12, 9], targets=[[1, 2, 3, 4, 3, 3], [4, 4, 4, 4, 4, 4], [2, 1, 2, 1, 2, 1, 2, 1, 2]]),
    dict(time=40, classes=8, blank=4, lengths=[40, 33], targets=[[0, 1, 2, 3, 5, 6, 7, 7, 6, 5, 3, 2], [5]]),
]
cases = []
for s in shapes:
    B = len(s["targets"])
    # torch asks that no target be longer than its row; an empty one is padded with a token that its length of 0 leaves out.
    width = max(1, max(map(len, s["targets"])))
    filler = 1 if s["blank"] == 0 else 0
    padded = torch.tensor([t + [filler] * (width - len(t)) for t in s["targets"]])
    x = noise(B, s["time"], s["classes"]).requires_grad_(True)
    losses = ctc_loss(log_softmax(x, -1).transpose(0, 1), padded, torch.tensor(s["lengths"]), torch.tensor([len(t) for t in s["targets"]]),
                      blank=s["blank"], reduction="none")
    c = noise(B)
    (losses * c).sum().backward()
    cases.append({**s, "logits": x.detach().reshape(-1).tolist(), "coefficients": c.tolist(),
                  "losses": losses.tolist(), "gradient": x.grad.reshape(-1).tolist()})
json.dump({"torch": torch.__version__, "seed": seed, "cases": cases}, open(out, "w"))
