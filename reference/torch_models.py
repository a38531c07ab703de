"""The published networks as plain PyTorch modules: the opponent of `bench_torch.py`.

Written from the project's own description of the architecture. Layouts are PyTorch's usual ones (channels first,
contiguous, f32); every layer is the one that a PyTorch user would take. Parameter names are the published
checkpoints' (attention: see `published_key`), because the goldens' weights are computed from them.
"""
import math
import re

import numpy as np
import torch
from torch import nn
from torch.nn import functional as F

# --- autoencoder: 1 channel in [-1, 1], sides / 4, 8 latent channels, 16384 codes ---


class EdgeConv(nn.Module):
    """Kernel k, stride s, edge padding k - s in total."""

    def __init__(self, inputs, outputs, kernel, stride=1):
        super().__init__()
        mode = {"padding": (kernel - stride + 1) // 2, "padding_mode": "replicate"} if kernel > 1 else {}
        self.conv = nn.Conv3d(inputs, outputs, kernel, stride, **mode)

    def forward(self, x):
        return self.conv(x)


class EdgeUp(nn.Module):
    """Doubles the sides: kernel 4, stride 2, one voxel of edge padding."""

    def __init__(self, inputs, outputs):
        super().__init__()
        self.convt = nn.ConvTranspose3d(inputs, outputs, 4, 2, padding=3)

    def forward(self, x):
        return self.convt(F.pad(x, (1,) * 6, mode="replicate"))


class EdgeRes(nn.Module):
    def __init__(self, c):
        super().__init__()
        self.norm1, self.conv1 = nn.GroupNorm(32, c, eps=1e-6), EdgeConv(c, c, 3)
        self.norm2, self.conv2 = nn.GroupNorm(32, c, eps=1e-6), EdgeConv(c, c, 3)

    def forward(self, x):
        return x + self.conv2(F.silu(self.norm2(self.conv1(F.silu(self.norm1(x))))))


class Block(nn.Module):
    """Members in the order given, by name."""

    def __init__(self, **members):
        super().__init__()
        for name, member in members.items():
            self.add_module(name, member)

    def forward(self, x):
        for member in self.children():
            x = member(x)
        return x


def norm_silu():
    return nn.Sequential(nn.GroupNorm(32, 64, eps=1e-6), nn.SiLU())


class Codebook(nn.Module):
    # Rows compared at once with all 16384 codes: 16 MB of distances stay in the cache, which is 2.5 times as fast
    # as 64 MB or the 0.9 GB of a whole 24³ crop.
    ROWS = 256

    def __init__(self):
        super().__init__()
        self.register_buffer("embeddings", torch.zeros(16384, 8))

    def indices(self, z):
        rows = z.movedim(1, -1).reshape(-1, 8)
        half = 0.5 * self.embeddings.square().sum(1)
        codes = self.embeddings.t()
        # |f|² does not change the order of a row's distances.
        # One buffer: with one for each part the allocator's heap grows to 0.9 GB and the time doubles.
        buffer = torch.empty(self.ROWS, len(half))
        distance = lambda part: torch.addmm(half, part, codes, alpha=-1, out=buffer[: len(part)])
        return torch.cat([distance(part).argmin(1) for part in rows.split(self.ROWS)])

    def lookup(self, indices, shape):
        b, _, d, h, w = shape
        return self.embeddings[indices].view(b, d, h, w, 8).movedim(-1, 1).contiguous()

    def quantise(self, z):
        """Codes with z's gradient, and the commitment loss."""
        with torch.no_grad():
            codes = self.lookup(self.indices(z), z.shape)
        return (codes - z).detach() + z, 0.25 * F.mse_loss(z, codes)


class Autoencoder(nn.Module):
    def __init__(self):
        super().__init__()
        down = lambda i, o: Block(down=EdgeConv(i, o, 4, 2), res=EdgeRes(o))
        up = lambda i, o: Block(up=EdgeUp(i, o), res1=EdgeRes(o), res2=EdgeRes(o))
        self.encoder = Block(
            conv_first=EdgeConv(1, 16, 3), conv_blocks=nn.Sequential(down(16, 32), down(32, 64)), final_block=norm_silu()
        )
        self.decoder = Block(
            final_block=norm_silu(), conv_blocks=nn.Sequential(up(64, 64), up(64, 32)), conv_last=EdgeConv(32, 1, 3)
        )
        self.pre_vq_conv, self.post_vq_conv = EdgeConv(64, 8, 1), EdgeConv(8, 64, 1)
        self.codebook = Codebook()

    def encode(self, x):
        return self.pre_vq_conv(self.encoder(x))

    def decode(self, z):
        return self.decoder(self.post_vq_conv(self.codebook.lookup(self.codebook.indices(z), z.shape)))

    def reconstruction_loss(self, x):
        """The terms of the generator pass that need no other network: 4 L1 + commitment."""
        codes, commitment = self.codebook.quantise(self.encode(x))
        return 4 * F.l1_loss(self.decoder(self.post_vq_conv(codes)), x) + commitment


# --- diffusion: U-Net on [B, 17, F, H, W]; only H and W shrink, depth attention joins the slices ---

HEADS, HEAD = 8, 32


def layer_norm(x, gamma):
    variance, mean = torch.var_mean(x, dim=1, unbiased=False, keepdim=True)
    return (x - mean) * (variance + 1e-5).rsqrt() * gamma


class SliceAttention(nn.Module):
    """x + linear attention over the positions of each slice."""

    def __init__(self, c):
        super().__init__()
        self.gamma = nn.Parameter(torch.ones(1, c, 1, 1, 1))
        self.to_qkv = nn.Conv2d(c, 3 * HEADS * HEAD, 1, bias=False)
        self.to_out = nn.Conv2d(HEADS * HEAD, c, 1)

    def forward(self, x):
        b, c, f, h, w = x.shape
        slices = layer_norm(x, self.gamma).movedim(2, 1).reshape(b * f, c, h, w)
        q, k, v = self.to_qkv(slices).view(b * f, 3, HEADS, HEAD, h * w).unbind(1)
        q = q.softmax(2) * HEAD**-0.5
        k = k.softmax(3)
        context = k @ v.transpose(2, 3)  # [n, heads, d, e]
        y = self.to_out((context.transpose(2, 3) @ q).reshape(b * f, HEADS * HEAD, h, w))
        return x + y.view(b, f, c, h, w).movedim(1, 2)


class SequenceAttention(nn.Module):
    """x + softmax attention along the depth (with positions) or over the positions of a slice (without)."""

    def __init__(self, c):
        super().__init__()
        self.gamma = nn.Parameter(torch.ones(1, c, 1, 1, 1))
        self.to_qkv = nn.Linear(c, 3 * HEADS * HEAD, bias=False)
        self.to_out = nn.Linear(HEADS * HEAD, c, bias=False)

    def forward(self, x, positions=None):
        b, c, f, h, w = x.shape
        y = layer_norm(x, self.gamma)
        along_depth = positions is not None
        # [sequences, length, c]
        rows = y.permute(0, 3, 4, 2, 1).reshape(-1, f, c) if along_depth else y.permute(0, 2, 3, 4, 1).reshape(-1, h * w, c)
        n, length, _ = rows.shape
        q, k, v = self.to_qkv(rows).view(n, length, 3, HEADS, HEAD).permute(2, 0, 3, 1, 4)
        bias = None
        if along_depth:
            cos, sin, bias = positions
            q, k = rotate(q, cos, sin), rotate(k, cos, sin)
        y = F.scaled_dot_product_attention(q, k, v, attn_mask=bias, scale=HEAD**-0.5)
        y = self.to_out(y.transpose(1, 2).reshape(n, length, HEADS * HEAD))
        y = y.view(b, h, w, f, c).permute(0, 4, 3, 1, 2) if along_depth else y.view(b, f, h, w, c).permute(0, 4, 1, 2, 3)
        return x + y


def rotate(x, cos, sin):
    """Channel pairs (2j, 2j+1): (a, b) → (a cos − b sin, b cos + a sin)."""
    a, b = x.unflatten(-1, (-1, 2)).unbind(-1)
    return torch.stack((a * cos - b * sin, b * cos + a * sin), -1).flatten(-2)


class PositionBias(nn.Module):
    def __init__(self):
        super().__init__()
        self.relative_attention_bias = nn.Embedding(32, HEADS)

    def forward(self, n):
        """cos and sin of the rotary angles [n, 16], bias [1, heads, query, key]."""
        at = torch.arange(n)
        angles = at[:, None] * 10000 ** (-torch.arange(0, HEAD, 2) / HEAD)
        d = at[:, None] - at[None, :]
        size = d.abs()
        far = 8 + (torch.log(size.clamp(min=1) / 8) / math.log(32 / 8) * 8).long()
        bucket = torch.where(size < 8, size, far.clamp(max=15)) + 16 * (d < 0)
        return angles.cos(), angles.sin(), self.relative_attention_bias(bucket).permute(2, 0, 1)[None].contiguous()


class NormedConv(nn.Module):
    def __init__(self, a, b):
        super().__init__()
        self.proj = nn.Conv3d(a, b, (1, 3, 3), padding=(0, 1, 1))
        self.norm = nn.GroupNorm(8, b)

    def forward(self, x, film=None):
        x = self.norm(self.proj(x))
        if film is not None:
            scale, shift = film[:, :, None, None, None].chunk(2, dim=1)
            x = x * (scale + 1) + shift
        return F.silu(x)


class Res(nn.Module):
    def __init__(self, a, b, timed=True):
        super().__init__()
        self.mlp = nn.Sequential(nn.SiLU(), nn.Linear(96, 2 * b)) if timed else None
        self.block1, self.block2 = NormedConv(a, b), NormedConv(b, b)
        self.res_conv = nn.Conv3d(a, b, 1) if a != b else nn.Identity()

    def forward(self, x, time=None):
        film = self.mlp(time) if self.mlp is not None else None
        return self.block2(self.block1(x, film)) + self.res_conv(x)


class Sinusoid(nn.Module):
    def forward(self, t):
        angles = t[:, None] * torch.exp(torch.arange(12) * (-math.log(10000) / 11))
        return torch.cat((angles.sin(), angles.cos()), dim=1)


def stage(a, b, resize):
    return nn.ModuleList([Res(a, b), Res(b, b), SliceAttention(b), SequenceAttention(b), resize])


class Unet3d(nn.Module):
    def __init__(self):
        super().__init__()
        geometry = {"kernel_size": (1, 4, 4), "stride": (1, 2, 2), "padding": (0, 1, 1)}
        self.time_rel_pos_bias = PositionBias()
        self.init_conv = nn.Conv3d(17, 24, (1, 7, 7), padding=(0, 3, 3))
        self.init_temporal_attn = SequenceAttention(24)
        self.time_mlp = nn.Sequential(Sinusoid(), nn.Linear(24, 96), nn.GELU(), nn.Linear(96, 96))
        down = lambda c, last: nn.Identity() if last else nn.Conv3d(c, c, **geometry)
        up = lambda c, last: nn.Identity() if last else nn.ConvTranspose3d(c, c, **geometry)
        downs, ups = [(24, 24), (24, 48), (48, 96), (96, 192)], [(384, 96), (192, 48), (96, 24), (48, 24)]
        self.downs = nn.ModuleList(stage(a, b, down(b, i == 3)) for i, (a, b) in enumerate(downs))
        self.mid_block1 = Res(192, 192)
        self.mid_spatial_attn, self.mid_temporal_attn = SequenceAttention(192), SequenceAttention(192)
        self.mid_block2 = Res(192, 192)
        self.ups = nn.ModuleList(stage(a, b, up(b, i == 3)) for i, (a, b) in enumerate(ups))
        self.final_conv = nn.ModuleList([Res(48, 24, timed=False), nn.Conv3d(24, 8, 1)])

    def forward(self, x, t, cond):
        positions = self.time_rel_pos_bias(x.shape[2])
        x = self.init_conv(torch.cat((x, cond), dim=1))
        first = x
        x = self.init_temporal_attn(x, positions)
        time, skips = self.time_mlp(t), []
        for res1, res2, slices, depth, down in self.downs:
            x = depth(slices(res2(res1(x, time), time)), positions)
            skips.append(x)
            x = down(x)
        x = self.mid_temporal_attn(self.mid_spatial_attn(self.mid_block1(x, time)), positions)
        x = self.mid_block2(x, time)
        for res1, res2, slices, depth, up in self.ups:
            x = res1(torch.cat((x, skips.pop()), dim=1), time)
            x = up(depth(slices(res2(x, time)), positions))
        res, last = self.final_conv
        return last(res(torch.cat((x, first), dim=1)))


# --- segmentation: MONAI's residual U-Net as the published code configures it; 3 classes, total stride 16 ---


class Adn(nn.Module):
    """Instance norm without weights, then a PReLU with one slope."""

    def __init__(self, c):
        super().__init__()
        self.N, self.A = nn.InstanceNorm3d(c), nn.PReLU()

    def forward(self, x):
        return self.A(self.N(x))


def unit(a, b, stride=1, conv_only=False):
    conv = nn.Conv3d(a, b, 3, stride, padding=1)
    return Block(conv=conv) if conv_only else Block(conv=conv, adn=Adn(b))


class ResidualUnit(nn.Module):
    def __init__(self, residual, **units):
        super().__init__()
        self.conv, self.residual = Block(**units), residual

    def forward(self, x):
        return self.residual(x) + self.conv(x)


class SkipConnection(nn.Module):
    def __init__(self, submodule):
        super().__init__()
        self.submodule = submodule

    def forward(self, x):
        return torch.cat((x, self.submodule(x)), dim=1)


class SegUnet(nn.Module):
    def __init__(self, widths=(16, 32, 64, 128, 256), inputs=1, classes=3):
        super().__init__()
        self.model = self._level(inputs, classes, 0, widths)

    def _level(self, a, b, i, widths):
        c = widths[i]
        if i == len(widths) - 1:
            return ResidualUnit(nn.Conv3d(a, c, 1), unit0=unit(a, c), unit1=unit(c, c))
        down = ResidualUnit(nn.Conv3d(a, c, 3, 2, padding=1), unit0=unit(a, c, 2), unit1=unit(c, c))
        last = i == len(widths) - 2
        below = self._level(c, c, i + 1, widths)
        joined = c + (widths[i + 1] if last else c)
        grow = Block(conv=nn.ConvTranspose3d(joined, b, 3, 2, padding=1, output_padding=1), adn=Adn(b))
        end = ResidualUnit(nn.Identity(), unit0=unit(b, b, conv_only=i == 0))
        return nn.Sequential(down, SkipConnection(below), nn.Sequential(grow, end))

    def forward(self, x):
        return self.model(x)


def dice_ce(logits, label):
    """1 - Dice of all classes (squared denominator) plus cross entropy; `label` [B, D, H, W]."""
    p = logits.softmax(1)
    g = F.one_hot(label, logits.shape[1]).movedim(-1, 1).to(p.dtype)
    axes = (2, 3, 4)
    dice = 2 * (p * g).sum(axes) / (p.square().sum(axes) + g.square().sum(axes) + 1e-6)
    return (1 - dice).mean() + F.cross_entropy(logits, label)


# --- one early tumor: T = 4, DDPM ---


def schedule(steps=4):
    a = lambda i: math.cos((i / steps + 0.008) / 1.008 * math.pi / 2) ** 2
    beta = np.array([min(max(1 - a(i + 1) / a(i), 0), 0.9999) for i in range(steps)])
    return beta, np.cumprod(1 - beta)


def early_tumor(autoencoder, unet, image, mask):
    """Decoded crop [B, 1, D, H, W] for an image in [-1, 1] and a mask in {0, 1} of that shape."""
    low, high = autoencoder.codebook.embeddings.aminmax()
    latents = (autoencoder.encode(image * (1 - mask)) - low) / (high - low) * 2 - 1
    cond = torch.cat((latents, mask[:, :, ::4, ::4, ::4] * 2 - 1), dim=1)
    beta, bar = schedule()
    x = torch.randn_like(latents)
    for t in reversed(range(len(beta))):
        before = bar[t - 1] if t else 1.0
        noise = unet(x, torch.full((x.shape[0],), t), cond)
        x0 = (x * (1 / bar[t]) ** 0.5 - noise * (1 / bar[t] - 1) ** 0.5).clamp(-1, 1)
        x = x0 * (beta[t] * before**0.5 / (1 - bar[t])) + x * ((1 - before) * (1 - beta[t]) ** 0.5 / (1 - bar[t]))
        if t:
            x = x + torch.randn_like(x) * (beta[t] * (1 - before) / (1 - bar[t])) ** 0.5
    return autoencoder.decode((x + 1) / 2 * (high - low) + low)


# --- weights by rule: computed from names, as for the goldens ---


def hash_sym(key, shape):
    """Numbers in [-1, 1): SplitMix64 of the flat index, started by the FNV-1a hash of the key."""
    start = 0xCBF29CE484222325
    for byte in key.encode():
        start = (start ^ byte) * 0x100000001B3 % 2**64
    x = np.arange(math.prod(shape), dtype=np.uint64) * np.uint64(0x9E3779B97F4A7C15) + np.uint64(start)
    x = (x ^ x >> np.uint64(30)) * np.uint64(0xBF58476D1CE4E5B9)
    x = (x ^ x >> np.uint64(27)) * np.uint64(0x94D049BB133111EB)
    x ^= x >> np.uint64(31)
    u = (x >> np.uint64(40)).astype(np.float32) / np.float32(2**24)
    return torch.from_numpy(2 * u - 1).view(*shape)


def published_key(name):
    """The checkpoint's name of a parameter: attention layers are wrapped two or three times there."""
    name = name.replace(".gamma", ".fn.norm.gamma")
    linear = re.match(r"(downs|ups)\.\d\.2\.", name)
    return name.replace(".to_", ".fn.fn.to_" if linear else ".fn.fn.fn.to_")


def fill_by_rule(module):
    """Every weight by the rule of the goldens; returns the module, ready to run."""
    with torch.no_grad():
        for name, tensor in [*module.named_parameters(), *module.named_buffers()]:
            key, shape = published_key(name), tuple(tensor.shape)
            last, fan = key.rsplit(".")[-1], tensor.numel() / shape[0]
            if key.endswith("codebook.embeddings"):
                scale, offset = 1.0, 0.0
            elif last == "gamma" or (last == "weight" and len(shape) == 1 and not key.endswith(".A.weight")):
                scale, offset = 0.1, 1.0
            elif len(shape) >= 2:
                scale, offset = 0.9 * math.sqrt(3 / fan), 0.0
            elif key.endswith(".A.weight"):
                scale, offset = 0.05, 0.25
            else:
                scale, offset = 0.05, 0.0
            tensor.copy_(hash_sym(key, shape) * np.float32(scale) + np.float32(offset))
    return module.eval()
