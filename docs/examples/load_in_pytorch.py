"""Loads a network that Espalier saved (network.safetensors or a checkpoint) into PyTorch and runs it; needs only torch."""
import json
import struct
import torch

TYPES = {"F32": torch.float32, "I32": torch.int32, "I64": torch.int64, "U8": torch.uint8}
ACTIVATIONS = {"identity": lambda z: z, "relu": torch.relu, "sigmoid": torch.sigmoid, "tanh": torch.tanh}

def read_safetensors(path):
    with open(path, "rb") as file:
        header = json.loads(file.read(struct.unpack("<Q", file.read(8))[0]))
        data, metadata, tensors = bytearray(file.read()), header.pop("__metadata__"), {}
    for name, entry in header.items():
        begin, end = entry["data_offsets"]
        flat = torch.frombuffer(data[begin:end], dtype=TYPES[entry["dtype"]]) if end > begin else torch.empty(0)
        tensors[name] = flat.reshape(entry["shape"])
    return metadata, tensors

def load_network(path):  # a list of (weight [outputs x inputs], bias, activation); sparse weights are sparse CSR tensors
    metadata, tensors = read_safetensors(path)
    layers = []
    for head in (f"layers.{n}." for n in range(1, int(metadata["layers"]) + 1)):
        weight, shape = tensors[head + "weight"], (int(metadata[head + "outputs"]), int(metadata[head + "inputs"]))
        if head + "column" in tensors:
            weight = torch.sparse_csr_tensor(tensors[head + "row_start"], tensors[head + "column"], weight, shape)
        layers.append((weight, tensors[head + "bias"], ACTIVATIONS[metadata[head + "activation"]]))
    return layers

def forward(layers, x):  # x: [samples, inputs]; returns what the loss takes, [samples, classes]
    for weight, bias, activation in layers:
        x = activation((weight @ x.T).T + bias)
    return x
