#!/usr/bin/env python3
"""Writes the small checkpoints that crates/difftumor/tests/networks/checkpoint.rs reads (those not called hard_*).

    python reference/make_checkpoint_fixtures.py crates/difftumor/tests/fixtures/checkpoints

Needs torch and numpy, any recent versions. Values are small and exact, so the tests can write them down.
"""
import collections, io, pathlib, sys, zipfile
import numpy as np
import torch

import torch_models as models

count = torch.arange(24, dtype=torch.float32).reshape(2, 3, 4)
OUT = pathlib.Path(sys.argv[1])


def views():
    """Views that are not contiguous: the expected values are those of `.contiguous()`."""
    return collections.OrderedDict(
        plain=count, transposed=count.permute(2, 0, 1), sliced=count[:, 1:, ::2], expanded=count[0, 0, :2].expand(3, 2),
        scalar=torch.tensor(-1.5), empty=torch.zeros(0, 3), parameter=torch.nn.Parameter(count[1]))


def dtypes():
    values = torch.tensor([0.0, 1.0, -2.0, 100.0])
    names = "float64 float32 float16 bfloat16 int64 int32 int16 int8 uint8 bool".split()
    return {n: (values.abs() if n == "uint8" else values).to(getattr(torch, n)) for n in names}


def save(name, obj, **options):
    buffer = io.BytesIO()
    torch.save(obj, buffer, **options)
    (OUT / name).write_bytes(buffer.getvalue())


def rezip(source, target, method, root, change=lambda name, data: data, zip64=False):
    with zipfile.ZipFile(OUT / source) as old, zipfile.ZipFile(OUT / target, "w", method) as new:
        for info in old.infolist():
            name = info.filename.split("/", 1)[1]
            data = change(name, old.read(info))
            # the earliest date that zip knows, so that the file is the same whenever it is made
            entry = zipfile.ZipInfo(f"{root}/{name}")
            entry.compress_type = method
            with new.open(entry, "w", force_zip64=zip64) as out:
                out.write(data)


def swap(name, data):
    if name == "byteorder":
        return b"big"
    return np.frombuffer(data, "<f4").astype(">f4").tobytes() if name.startswith("data/") else data


def nnunet(filters=(2, 3, 4)):
    """nnU-Net in the layout of the published checkpoints, with weights by the rule of the goldens."""
    shapes = {}

    def block(name, inputs, outputs):
        shapes[f"{name}.conv1.conv.weight"] = (outputs, inputs, 3, 3, 3)
        shapes[f"{name}.conv2.conv.weight"] = (outputs, outputs, 3, 3, 3)

    a, b, c = filters
    block("input_block", 1, a)
    block("downsamples.0", a, b)
    block("bottleneck", b, c)
    for i, (below, out) in enumerate([(c, b), (b, a)]):
        shapes[f"upsamples.{i}.transp_conv.conv.weight"] = (below, out, 2, 2, 2)
        block(f"upsamples.{i}.conv_block", 2 * out, out)
    shapes["output_block.conv.conv.weight"] = (3, a, 1, 1, 1)
    shapes["output_block.conv.conv.bias"] = (3,)
    state = collections.OrderedDict()
    for name, shape in shapes.items():
        scale = 0.05 if len(shape) == 1 else 0.9 * (3 * shape[0] / np.prod(shape)) ** 0.5
        state[name] = models.hash_sym(name, shape) * np.float32(scale)
    levels = [("downsample", "input_block"), ("next_layer.downsample", "downsamples.0"), ("next_layer.next_layer", "bottleneck"),
              ("next_layer.upsample", "upsamples.0"), ("upsample", "upsamples.1")]
    for alias, name in levels:
        state.update({f"skip_layers.{alias}{n[len(name):]}": t for n, t in state.items() if n.startswith(name + ".")})
    return {"epoch": 1949, "best_acc": np.float64(0.709), "state_dict": state}


def main():
    OUT.mkdir(parents=True, exist_ok=True)
    save("legacy.pt", {"state_dict": views(), "epoch": 3, "seen": collections.defaultdict(int, {"a": 1})},
         _use_new_zipfile_serialization=False)
    for protocol in (2, 3, 4, 5):
        save(f"protocol_{protocol}.pt", {"state_dict": views(), "best": np.float64(0.5), "size": count.shape, "set": {1, 2},
                                         "long": 1 << 80, "bytes": b"\x00\xff", 7: "a key that is no string"},
             pickle_protocol=protocol)
    save("dtypes.pt", dtypes())
    save("dtypes_legacy.pt", dtypes(), _use_new_zipfile_serialization=False)
    save("nnunet.pt", nnunet())
    ema = {"denoise_fn.init_conv.weight": count}
    save("ema_and_model.pt", {"step": 5, "model": {k: v * 0.5 for k, v in ema.items()}, "ema": ema, "scaler": {}})
    rezip("protocol_2.pt", "deflated.pt", zipfile.ZIP_DEFLATED, "some other folder")
    rezip("protocol_2.pt", "zip64.pt", zipfile.ZIP_STORED, "archive", zip64=True)
    rezip("protocol_2.pt", "big_endian.pt", zipfile.ZIP_STORED, "archive", change=swap)


if __name__ == "__main__":
    main()
