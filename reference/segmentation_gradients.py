"""Writes crates/difftumor/tests/fixtures/segmentation_gradients.json: gradients of nnU-Net and Swin UNETR (small, published and
corrected) in f64, as numbers.

    python reference/segmentation_gradients.py

Of each parameter's gradient: its norm, and its product with numbers computed from the parameter's name.
"""
import json
import math
import pathlib

import torch

import torch_models as models
from torch_segmentation import NnUnet, SwinUnetr

OUT = pathlib.Path(__file__).resolve().parent.parent / "crates/difftumor/tests/fixtures/segmentation_gradients.json"
# Windows of 5 are padded at stages 1 to 3 of 64 voxels, and shrink at stage 4.
SWIN = dict(c=4, heads=(1, 2, 2, 4), window=5)
CASES = {
    "nnunet": (lambda: NnUnet((4, 6, 8)), (2, 1, 16, 32, 24)),
    "swin_published": (lambda: SwinUnetr(**SWIN), (1, 1, 64, 64, 96)),
    "swin_corrected": (lambda: SwinUnetr(**SWIN, corrected=True), (1, 1, 64, 64, 96)),
}


def gradients(make, shape, dtype):
    net = models.fill_by_rule(make()).to(dtype)
    labels = (models.hash_sym("labels", (math.prod(shape),)) * 1.5 + 1.5).to(torch.int64).view(shape[0], *shape[2:])
    loss = models.dice_ce(net(models.hash_sym("x", shape).to(dtype)), labels)
    loss.backward()
    found = {"loss": loss.item()}
    for name, p in net.named_parameters():
        product = (p.grad.double() * models.hash_sym(name, tuple(p.shape)).double()).sum().item()
        found[name] = [p.grad.double().norm().item(), product]
    return found


result = {}
for case, (make, shape) in CASES.items():
    result[case] = gradients(make, shape, torch.float64)
    single = gradients(make, shape, torch.float32)
    largest = max(v[0] for k, v in result[case].items() if k != "loss")
    off = lambda k, i: abs(single[k][i] - result[case][k][i]) / (result[case][k][0] + 1e-3 * largest)
    worst = max((off(k, i), k) for k in single if k != "loss" for i in (0, 1))
    print(f"{case}: PyTorch's own f32 is off by {worst[0]:.1e} ({worst[1]})")
OUT.write_text(json.dumps(result, indent=0) + "\n")
