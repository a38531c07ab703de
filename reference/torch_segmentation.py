"""nnU-Net (MONAI's DynUNet) and Swin UNETR as the published code configures them, written anew in plain PyTorch.

Parameters have the published names. `python reference/torch_segmentation.py FILE...` says how far the outputs are from golden
files (seg_nnunet, seg_swinunetr).
"""
import torch
import torch.nn.functional as F
from torch import nn

SLOPE = 0.01


class Conv(nn.Module):
    """MONAI's wrapper, for the names."""

    def __init__(self, a, b, kernel, stride=1, bias=False, transposed=False):
        super().__init__()
        layer = nn.ConvTranspose3d if transposed else nn.Conv3d
        self.conv = layer(a, b, kernel, stride, padding=(kernel - 1) // 2, bias=bias)

    def forward(self, x):
        return self.conv(x)


def normed(x):
    return F.leaky_relu(F.instance_norm(x), SLOPE)


class Block(nn.Module):
    def __init__(self, a, b, stride=1):
        super().__init__()
        self.conv1, self.conv2 = Conv(a, b, 3, stride), Conv(b, b, 3)

    def forward(self, x):
        return normed(self.conv2(normed(self.conv1(x))))


class Residual(nn.Module):
    def __init__(self, a, b):
        super().__init__()
        self.conv1, self.conv2 = Conv(a, b, 3), Conv(b, b, 3)
        self.conv3 = Conv(a, b, 1) if a != b else None

    def forward(self, x):
        shortcut = x if self.conv3 is None else F.instance_norm(self.conv3(x))
        return F.leaky_relu(F.instance_norm(self.conv2(normed(self.conv1(x)))) + shortcut, SLOPE)


class Up(nn.Module):
    def __init__(self, below, out, block):
        super().__init__()
        self.transp_conv, self.conv_block = Conv(below, out, 2, 2, transposed=True), block(2 * out, out)

    def forward(self, x, skip):
        return self.conv_block(torch.cat((self.transp_conv(x), skip), 1))


class Named(nn.Module):
    """A layer under one more name."""

    def __init__(self, name, layer):
        super().__init__()
        self.name = name
        self.add_module(name, layer)

    def forward(self, x):
        return getattr(self, self.name)(x)


class NnUnet(nn.Module):
    def __init__(self, filters=(32, 64, 128, 256, 320), classes=3):
        super().__init__()
        f = list(filters)
        self.input_block = Block(1, f[0])
        self.downsamples = nn.ModuleList(Block(a, b, 2) for a, b in zip(f[:-2], f[1:-1]))
        self.bottleneck = Block(f[-2], f[-1], 2)
        self.upsamples = nn.ModuleList(Up(b, a, Block) for a, b in reversed(list(zip(f[:-1], f[1:]))))
        self.output_block = Named("conv", Conv(f[0], classes, 1, bias=True))

    def forward(self, x):
        skips = [self.input_block(x)]
        for block in self.downsamples:
            skips.append(block(skips[-1]))
        x = self.bottleneck(skips[-1])
        for up in self.upsamples:
            x = up(x, skips.pop())
        return self.output_block(x)


def relative_index(sides, window):
    """Entry of the table of windows of `window`^3 for each pair of tokens of a volume of these sides."""
    places = torch.stack(torch.meshgrid(*[torch.arange(n) for n in sides], indexing="ij")).flatten(1)
    d = places[:, :, None] - places[:, None, :] + window - 1
    return (d[0] * (2 * window - 1) + d[1]) * (2 * window - 1) + d[2]


class Attention(nn.Module):
    def __init__(self, c, heads, window, shift, corrected):
        super().__init__()
        self.heads, self.window, self.shift, self.corrected = heads, window, shift, corrected
        self.relative_position_bias_table = nn.Parameter(torch.zeros((2 * window - 1) ** 3, heads))
        self.qkv, self.proj = nn.Linear(c, 3 * c), nn.Linear(c, c)
        self.constants = {}  # by the volume's sides

    def index_and_mask(self, sides, window, padded, shift, part):
        """Entries of the table [tokens, tokens], and -100 for tokens of other regions [windows, 1, tokens, tokens]."""
        if sides not in self.constants:
            count = window[0] * window[1] * window[2]
            full = relative_index([self.window] * 3, self.window)[:count, :count]
            index = relative_index(window, self.window) if self.corrected else full
            ids = part(self.regions(padded, window, shift)[None, ..., None])[..., 0]
            mask = (ids[:, None, :, None] != ids[:, None, None, :]) * -100.0
            self.constants[sides] = index, mask if any(shift) else None
        return self.constants[sides]

    def regions(self, padded, window, shift):
        ids = torch.zeros(1, 1, 1, dtype=torch.long)
        for axis, (n, w, s) in enumerate(zip(padded, window, shift)):
            p = torch.arange(n)
            part = (p >= n - w).long() + ((p >= n - s) & (s > 0)).long()
            ids = ids * 3 + part.view([-1 if a == axis else 1 for a in range(3)])
        return ids

    def forward(self, x):
        b, *sides, c = x.shape
        window = [min(n, self.window) for n in sides]
        shift = [0 if n <= self.window else self.shift for n in sides]
        pad = [-n % w for n, w in zip(sides, window)]
        padded = [n + p for n, p in zip(sides, pad)]
        x = F.pad(x, (0, 0, 0, pad[2], 0, pad[1], 0, pad[0])).roll([-s for s in shift], (1, 2, 3))

        def part(t):
            (d, h, w), (n, m, k) = padded, window
            t = t.reshape(-1, d // n, n, h // m, m, w // k, k, t.shape[-1])
            return t.permute(0, 1, 3, 5, 2, 4, 6, 7).reshape(-1, n * m * k, t.shape[-1])

        def join(t):
            (d, h, w), (n, m, k) = padded, window
            t = t.reshape(b, d // n, h // m, w // k, n, m, k, c).permute(0, 1, 4, 2, 5, 3, 6, 7)
            return t.reshape(b, d, h, w, c)

        tokens = part(x)
        count = window[0] * window[1] * window[2]
        q, k, v = self.qkv(tokens).reshape(-1, count, 3, self.heads, c // self.heads).permute(2, 0, 3, 1, 4)
        index, mask = self.index_and_mask(tuple(sides), window, padded, shift, part)
        bias = self.relative_position_bias_table[index].permute(2, 0, 1)[None]
        added = bias if mask is None else (bias + mask).repeat(b, 1, 1, 1)
        y = F.scaled_dot_product_attention(q, k, v, attn_mask=added)
        y = join(self.proj(y.transpose(1, 2).reshape(-1, count, c))).roll(shift, (1, 2, 3))
        return y[:, : sides[0], : sides[1], : sides[2]]


class Mlp(nn.Module):
    def __init__(self, c):
        super().__init__()
        self.fc1, self.fc2 = nn.Linear(c, 4 * c), nn.Linear(4 * c, c)

    def forward(self, x):
        return self.fc2(F.gelu(self.fc1(x)))


class SwinBlock(nn.Module):
    def __init__(self, c, heads, window, shift, corrected):
        super().__init__()
        self.norm1, self.norm2, self.mlp = nn.LayerNorm(c), nn.LayerNorm(c), Mlp(c)
        self.attn = Attention(c, heads, window, shift, corrected)

    def forward(self, x):
        x = x + self.attn(self.norm1(x))
        return x + self.mlp(self.norm2(x))


class Merging(nn.Module):
    def __init__(self, c, corrected):
        super().__init__()
        self.norm, self.reduction = nn.LayerNorm(8 * c), nn.Linear(8 * c, 2 * c, bias=False)
        two = ["110", "011"] if corrected else ["010", "001"]
        self.offsets = ["000", "100", "010", "001", "101", *two, "111"]

    def forward(self, x):
        parts = [x[:, int(o[0]) :: 2, int(o[1]) :: 2, int(o[2]) :: 2] for o in self.offsets]
        return self.reduction(self.norm(torch.cat(parts, -1)))


class Stage(nn.Module):
    def __init__(self, c, depth, heads, window, corrected):
        super().__init__()
        shifts = [0 if i % 2 == 0 else window // 2 for i in range(depth)]
        self.blocks = nn.Sequential(*[SwinBlock(c, heads, window, s, corrected) for s in shifts])
        self.downsample = Merging(c, corrected)

    def forward(self, x):
        return self.downsample(self.blocks(x))


class SwinVit(nn.Module):
    def __init__(self, c, depths, heads, window, corrected):
        super().__init__()
        self.patch_embed = Named("proj", nn.Conv3d(1, c, 2, 2))
        for i in range(4):
            stage = Stage(c << i, depths[i], heads[i], window, corrected)
            self.add_module(f"layers{i + 1}", nn.Sequential(stage))

    def forward(self, x):
        x = self.patch_embed(x).movedim(1, -1)
        results = [x]
        for i in range(4):
            x = getattr(self, f"layers{i + 1}")(x)
            results.append(x)
        return [F.layer_norm(r, r.shape[-1:]).movedim(-1, 1) for r in results]


class SwinUnetr(nn.Module):
    def __init__(self, c=48, depths=(2, 2, 2, 2), heads=(3, 6, 12, 24), window=7, corrected=False, classes=3):
        super().__init__()
        self.swinViT = SwinVit(c, depths, heads, window, corrected)
        for name, a, b in [("1", 1, c), ("2", c, c), ("3", 2 * c, 2 * c), ("4", 4 * c, 4 * c), ("10", 16 * c, 16 * c)]:
            self.add_module(f"encoder{name}", Named("layer", Residual(a, b)))
        for name, a, b in [(5, 16 * c, 8 * c), (4, 8 * c, 4 * c), (3, 4 * c, 2 * c), (2, 2 * c, c), (1, c, c)]:
            self.add_module(f"decoder{name}", Up(a, b, Residual))
        self.out = Named("conv", Conv(c, classes, 1, bias=True))

    def forward(self, x):
        h = self.swinViT(x)
        y = self.decoder5(self.encoder10(h[4]), h[3])
        y = self.decoder4(y, self.encoder4(h[2]))
        y = self.decoder3(y, self.encoder3(h[1]))
        y = self.decoder2(y, self.encoder2(h[0]))
        return self.out(self.decoder1(y, self.encoder1(x)))


def difference(path):
    """The largest difference to the golden outputs of 64^3."""
    from safetensors.numpy import load_file

    import torch_models as models

    want, swin = load_file(path), "swin" in str(path)
    net = models.fill_by_rule(SwinUnetr() if swin else NnUnet())
    x = models.hash_sym(f"golden/seg/{'swinunetr' if swin else 'nnunet'}64", (1, 1, 64, 64, 64)) * 0.5 + 0.5
    with torch.no_grad():
        y = net(x)[:, :, ::2, ::2, ::2]
    return (y - torch.from_numpy(want["out64_strided2"])).abs().max().item()


if __name__ == "__main__":
    import sys

    for path in sys.argv[1:]:
        print(path, "differs by", difference(path))
