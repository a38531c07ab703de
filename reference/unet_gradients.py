"""Writes crates/difftumor/tests/fixtures/unet_gradients.json: the segmentation U-Net's gradients in f64, as numbers.

    python reference/unet_gradients.py

Of each parameter's gradient: its norm, and its product with numbers computed from the parameter's name.
"""
import json
import pathlib

import torch

import torch_models as models

SHAPE = (2, 1, 32, 32, 48)
OUT = pathlib.Path(__file__).resolve().parent.parent / "crates/difftumor/tests/fixtures/unet_gradients.json"

net = models.fill_by_rule(models.SegUnet()).double()
labels = (models.hash_sym("labels", (2 * 32 * 32 * 48,)) * 1.5 + 1.5).to(torch.int64).view(2, 32, 32, 48)
loss = models.dice_ce(net(models.hash_sym("x", SHAPE).double()), labels)
loss.backward()
found = {"loss": loss.item()}
for name, p in net.named_parameters():
    product = (p.grad * models.hash_sym(name, tuple(p.shape)).double()).sum().item()
    found[name] = [p.grad.norm().item(), product]
OUT.write_text(json.dumps(found, indent=0) + "\n")
