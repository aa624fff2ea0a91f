#!/usr/bin/env python3
"""Reference numbers from PyTorch for recurrent layers: outputs, final states and all gradients.

Usage: torch-recurrent.py SEED OUT.json   (needs torch; Debian's python3-torch serves)
Every weight differs (uniform noise), so a swapped gate, a missed bias or a wrong final state shows.
loss = sum(output * c_out) + sum(h_n * c_h) [+ sum(c_n * c_c)] with fixed random coefficients, over valid steps only.
Layouts: input [batch, time, features]; h_n, c_n [layers * directions, batch, hidden], as PyTorch gives them.
With lengths, sequences are packed (enforce_sorted=False): padded outputs are zero, final states are those of the last valid step.
"""
import json, sys
import torch
from torch import nn
from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence

seed, out = int(sys.argv[1]), sys.argv[2]
g = torch.Generator().manual_seed(seed)
def noise(*s): return torch.rand(*s, generator=g) * 1.2 - 0.6
def tolist(t): return {"shape": list(t.shape), "data": [float(v) for v in t.detach().double().reshape(-1)]}

cases = []
for kind, kw in [("RNN", dict(nonlinearity="tanh")), ("RNN", dict(nonlinearity="relu")), ("LSTM", {}), ("GRU", {}), ("LSTM", dict(proj_size=3))]:
    for layers, bi in [(1, False), (2, False), (1, True), (2, True)]:
        for lengths in (None, [5, 2, 1]):
            for bias in (True, False) if (layers, bi, lengths) == (1, False, None) else (True,):
                F, H, B, T = 3, 5, 3, 5
                m = getattr(nn, kind)(F, H, num_layers=layers, bidirectional=bi, batch_first=True, bias=bias, **kw).double()
                with torch.no_grad():
                    for p in m.parameters(): p.copy_(noise(*p.shape).double())
                D, R = (2 if bi else 1), kw.get("proj_size", H)
                x = noise(B, T, F).double().requires_grad_(True)
                h0 = noise(layers * D, B, R).double().requires_grad_(True)
                c0 = noise(layers * D, B, H).double().requires_grad_(True) if kind == "LSTM" else None
                state = (h0, c0) if c0 is not None else h0
                inp = x if lengths is None else pack_padded_sequence(x, torch.tensor(lengths), batch_first=True, enforce_sorted=False)
                y, s = m(inp, state)
                if lengths is not None: y, _ = pad_packed_sequence(y, batch_first=True, total_length=T)
                hn, cn = s if kind == "LSTM" else (s, None)
                cy, ch = noise(*y.shape).double(), noise(*hn.shape).double()
                cc = noise(*cn.shape).double() if cn is not None else None
                loss = (y * cy).sum() + (hn * ch).sum() + ((cn * cc).sum() if cn is not None else 0)
                loss.backward()
                case = dict(name="-".join([kind.lower(), *map(str, kw.values()), f"l{layers}", "bi" if bi else "uni", "lengths" if lengths else "full", "bias" if bias else "nobias"]),
                    cell=kind, options=dict(inputSize=F, hiddenSize=H, numLayers=layers, bidirectional=bi, bias=bias, **kw), lengths=lengths,
                    weights={n: tolist(p) for n, p in m.named_parameters()}, input=tolist(x), h0=tolist(h0), output=tolist(y), h_n=tolist(hn),
                    coefficients=dict(output=tolist(cy), h_n=tolist(ch)), loss=float(loss.detach()),
                    gradients={**{n: tolist(p.grad) for n, p in m.named_parameters()}, "input": tolist(x.grad), "h0": tolist(h0.grad)})
                if cn is not None:
                    case["c0"], case["c_n"] = tolist(c0), tolist(cn); case["coefficients"]["c_n"] = tolist(cc); case["gradients"]["c0"] = tolist(c0.grad)
                cases.append(case)
def rnd(o):
    if isinstance(o, float): return float(f"{o:.12g}")
    if isinstance(o, list): return [rnd(v) for v in o]
    if isinstance(o, dict): return {k: rnd(v) for k, v in o.items()}
    return o
json.dump(dict(source="torch " + torch.__version__, seed=seed, dtype="float64", cases=rnd(cases)), open(out, "w"), separators=(",", ":"))
print(len(cases), "cases")
