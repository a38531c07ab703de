"""Makes examples/torso-kidneys from TotalSegmentator's example scan and its labels: one crop around each kidney.

    python3 reference/crop_torso.py CT.nii.gz LABELS.nii.gz examples/torso-kidneys

Nothing but the standard library. Both files: NIfTI-1, little endian, the same grid; int32 (`tests/reference_files/example_ct.nii.gz`)
and uint8 (`example_seg_fast_force_split.nii.gz`).
"""
import array
import gzip
import pathlib
import struct
import sys

# Voxels kept (first, one past the last). The two share no voxel.
CROPS = {"right": [(66, 112), (22, 70), (58, 112)], "left": [(18, 62), (20, 66), (60, 112)]}
# Values of the labels that are kept: kidney_right, kidney_left.
KIDNEYS = (2, 3)
INT16, UINT8 = (4, 16), (2, 8)


def read(path, code):
    data = gzip.decompress(pathlib.Path(path).read_bytes())
    offset = int(struct.unpack_from("<f", data, 108)[0])
    assert data[344:347] == b"n+1" and struct.unpack_from("<2f", data, 112) == (1.0, 0.0), path
    voxels = array.array(code)
    voxels.frombytes(data[offset:])
    return bytearray(data[:348]), voxels


def crop(head, voxels, box, datatype, description, target):
    head = bytearray(head)
    nx, ny, _ = struct.unpack_from("<3h", head, 42)
    struct.pack_into("<3h", head, 42, *[end - start for start, end in box])
    struct.pack_into("<2h", head, 70, *datatype)
    struct.pack_into("<f", head, 108, 352.0)  # voxels begin here: extensions are left out
    # The first voxel kept becomes voxel 0: the origins of sform (rows at 280) and qform (offsets at 268) move.
    for axis in range(3):
        row = list(struct.unpack_from("<4f", head, 280 + 16 * axis))
        row[3] += sum(row[a] * box[a][0] for a in range(3))
        struct.pack_into("<4f", head, 280 + 16 * axis, *row)
        struct.pack_into("<f", head, 268 + 4 * axis, row[3])
    head[123] = 2  # lengths in mm
    head[148:228] = description.encode().ljust(80, b"\0")
    kept = array.array("h" if datatype == INT16 else "B")
    (x0, x1), ys, zs = box
    for z in range(*zs):
        for y in range(*ys):
            start = (z * ny + y) * nx
            kept.extend(voxels[start + x0 : start + x1].tolist())
    # mtime 0: the same bytes each time.
    target.write_bytes(gzip.compress(bytes(head) + bytes(4) + kept.tobytes(), 9, mtime=0))


ct, labels, out = sys.argv[1:]
out = pathlib.Path(out)
out.mkdir(parents=True, exist_ok=True)
head, voxels = read(ct, "i")
head_of_labels, values = read(labels, "B")
kidneys = array.array("B", (v if v in KIDNEYS else 0 for v in values))
for side, box in CROPS.items():
    crop(head, voxels, box, INT16, "TotalSegmentator example_ct, Apache-2.0, cropped", out / f"{side}.nii.gz")
    text = "2 kidney_right 3 kidney_left, network output"
    crop(head_of_labels, kidneys, box, UINT8, text, out / f"{side}_labels.nii.gz")
