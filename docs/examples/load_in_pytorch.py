"""Loads a network that Espalier saved (network.safetensors, a checkpoint or `export --format safetensors`) into PyTorch
and runs it; needs only torch."""
import json
import re
import struct
import torch

TYPES = {"F32": torch.float32, "I32": torch.int32, "I64": torch.int64, "U8": torch.uint8}
SIMPLE = {"identity": lambda z: z, "relu": torch.relu, "sigmoid": torch.sigmoid, "tanh": torch.tanh}

def read_safetensors(path):
    with open(path, "rb") as file:
        header = json.loads(file.read(struct.unpack("<Q", file.read(8))[0]))
        data, metadata, tensors = bytearray(file.read()), header.pop("__metadata__"), {}
    for name, entry in header.items():
        (begin, end), kind = entry["data_offsets"], TYPES[entry["dtype"]]
        flat = torch.frombuffer(data[begin:end], dtype=kind) if end > begin else torch.empty(0, dtype=kind)
        tensors[name] = flat.reshape(entry["shape"])
    return metadata, tensors

def activation(text, parameters):  # "relu" or "all-relu(slope=0.6)"; parameters: SReLU's four numbers of each neuron
    name, fields = re.fullmatch(r"([\w-]+)(?:\((.*)\))?", text).groups()
    if name in SIMPLE:
        return SIMPLE[name]
    if name == "srelu":
        t_left, a_left, t_right, a_right = parameters
        return lambda z: torch.where(z >= t_right, t_right + a_right * (z - t_right),
                                     torch.where(z <= t_left, t_left + a_left * (z - t_left), z))
    slope = float(dict(field.split("=") for field in (fields or "").split(",") if field)
                  .get("slope", {"leaky-relu": 0.01, "all-relu": 0.6}[name]))
    return lambda z: torch.where(z > 0, z, slope * z)

def load_network(path):  # a list of (weight [outputs x inputs], bias, activation); sparse weights are sparse CSR tensors
    metadata, tensors = read_safetensors(path)
    layers = []
    for head in (f"layers.{n}." for n in range(1, int(metadata["layers"]) + 1)):
        shape = (int(metadata[head + "outputs"]), int(metadata[head + "inputs"]))
        if head + "column" in tensors:
            parts = [tensors[head + part] for part in ("row_start", "column", "weight")]
        elif head + "col_indices" in tensors:  # of an export
            parts = [tensors[head + part] for part in ("crow_indices", "col_indices", "values")]
        else:
            parts = None
        weight = torch.sparse_csr_tensor(*parts, shape) if parts else tensors[head + "weight"]
        layers.append((weight, tensors[head + "bias"],
                       activation(metadata[head + "activation"], tensors.get(head + "activation_parameters"))))
    return layers

def load_data_meaning(path):  # {"mean": [...], "deviation": [...], "scale": ..., "classes": [names], "columns": [...], ...}
    return json.loads(read_safetensors(path)[0]["data"])

def normalise(meaning, x):  # x: [samples, features] as stored (bytes 0 to 255, or a table's numbers)
    mean, deviation = (torch.tensor(meaning[name], dtype=torch.float64) for name in ("mean", "deviation"))
    per = x.shape[1] // len(mean)  # one of each channel, or of each column
    mean, deviation = mean.repeat_interleave(per), deviation.repeat_interleave(per)
    return ((x.double() * meaning["scale"] - mean) / deviation).float()

def in_target_units(meaning, y):  # of a regression (--targets): outputs [samples, targets] as the data have them
    mean, deviation = (torch.tensor(meaning[name], dtype=torch.float64) for name in ("target_mean", "target_deviation"))
    return y.double() * deviation + mean

def forward(layers, x):  # x: [samples, inputs], normalised; returns what the loss takes, [samples, classes or targets]
    for weight, bias, f in layers:
        x = f((weight @ x.T).T + bias)
    return x
