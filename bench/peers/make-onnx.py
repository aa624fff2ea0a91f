"""Writes the ONNX models of the streaming and offline workloads, with random weights. Argument: the folder. Needs numpy and onnx.

Inputs x [T, B, I] and per layer k h{k} (LSTM: c{k}) [1, B, H]; outputs y and hn{k} (cn{k}).
"""
import sys
from pathlib import Path

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

folder = Path(sys.argv[1])
folder.mkdir(parents=True, exist_ok=True)
random = np.random.default_rng(1)


def write(name, cell, time, batch, inputs, hidden, layers=1, head=0):
    gates, parts = (4, "hc") if cell == "LSTM" else (3, "h")
    weights = [numpy_helper.from_array(np.array([1], np.int64), "direction")]
    nodes, states, ends = [], [], []

    def weight(label, *shape):
        values = random.uniform(-1, 1, shape) / np.sqrt(hidden)
        weights.append(numpy_helper.from_array(values.astype(np.float32), label))
        return label

    def value(label, *shape):
        return helper.make_tensor_value_info(label, TensorProto.FLOAT, shape)

    current = "x"
    for k in range(layers):
        width = inputs if k == 0 else hidden
        matrices = [weight(f"W{k}", 1, gates * hidden, width), weight(f"R{k}", 1, gates * hidden, hidden)]
        bias = weight(f"B{k}", 1, 2 * gates * hidden)
        states += [value(f"{part}{k}", 1, batch, hidden) for part in parts]
        ends += [value(f"{part}n{k}", 1, batch, hidden) for part in parts]
        attributes = {"hidden_size": hidden}
        if cell == "GRU":
            attributes["linear_before_reset"] = 1
        before = [current, *matrices, bias, "", *(f"{part}{k}" for part in parts)]
        nodes.append(helper.make_node(cell, before, [f"all{k}", *(f"{part}n{k}" for part in parts)], **attributes))
        nodes.append(helper.make_node("Squeeze", [f"all{k}", "direction"], [f"out{k}"]))
        current = f"out{k}"
    if head:
        nodes.append(helper.make_node("MatMul", [current, weight("W", hidden, head)], ["product"]))
        nodes.append(helper.make_node("Add", ["product", weight("b", head)], ["y"]))
    else:
        nodes.append(helper.make_node("Identity", [current], ["y"]))
    outputs = [value("y", time, batch, head or hidden), *ends]
    graph = helper.make_graph(nodes, name, [value("x", time, batch, inputs), *states], outputs, weights)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 14)])
    model.ir_version = 8
    onnx.checker.check_model(model)
    onnx.save(model, folder / f"{name}.onnx")


write("W5gru", "GRU", 1, 1, 40, 128, head=12)
write("W5lstm", "LSTM", 1, 1, 64, 256, layers=2, head=12)
write("W6a", "LSTM", 1000, 1, 64, 256)
write("W6b", "LSTM", 100, 64, 128, 256)
