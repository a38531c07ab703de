// A scan in three planes, by NiiVue: all that knows of NiiVue is here.
import { DRAG_MODE, NVImage, Niivue, SLICE_TYPE, cmapper } from '@niivue/niivue'
import { Refused } from './api'

/** Planes in the order of their keys: name, NiiVue's plane, the voxel axis (of RAS) that scrolls. */
export const PLANES = [
  { name: 'Axial', type: SLICE_TYPE.AXIAL, axis: 2 },
  { name: 'Coronal', type: SLICE_TYPE.CORONAL, axis: 1 },
  { name: 'Sagittal', type: SLICE_TYPE.SAGITTAL, axis: 0 },
] as const

/** Width in pixels of the plane that is shown smallest: a thinner line would have gaps. The gap about the lesion in half widths. */
const CROSSHAIR = { width: 1.05, gap: 24, color: [0.75, 0.62, 0.2, 0.8] }
const ZOOM = { least: 0.5, most: 8 }

const NO_WEBGL2 =
  'This browser cannot show scans: it has no WebGL 2.\n' +
  'Please use a current Firefox, Chrome, Edge or Safari with graphics acceleration turned on.'

/** A decoded scan. */
export type Scan = NVImage

type Vec3 = [number, number, number]

/** A mask's colours, from value 0 on: red, green, blue, and how much of the mask's opacity it has, all 0 to 255. */
export type Colours = [red: number, green: number, blue: number, share: number][]

/**
 * Two scans and a mask over them; a rim about each of the mask's values. NiiVue's own shader takes other ways to draw scans over scans; this
 * one needs no new textures when an opacity changes. (A line for each uniform: NiiVue looks for them so.)
 */
const BLENDED = `#version 300 es
precision highp int;
precision highp float;
uniform highp sampler3D volume;
uniform highp sampler3D overlay;
uniform highp sampler3D drawing;
uniform highp sampler2D colormap;
uniform float overlays;
uniform float overlayAlphaShader;
uniform float drawOpacity;
in vec3 texPos;
out vec4 color;
void main() {
  color = vec4(texture(volume, texPos).rgb, 1.0);
  if (overlays > 0.0) color.rgb = mix(color.rgb, texture(overlay, texPos).rgb, overlayAlphaShader);
  float value = texture(drawing, texPos).r;
  if (value == 0.0 || drawOpacity == 0.0) return;
  float rows = float(textureSize(colormap, 0).y);
  vec4 tint = texture(colormap, vec2((value * 255.0 + 0.5) / 256.0, (rows - 0.5) / rows));
  vec3 right = dFdx(texPos);
  vec3 up = dFdy(texPos);
  bool isRim = texture(drawing, texPos + right).r != value || texture(drawing, texPos - right).r != value ||
    texture(drawing, texPos + up).r != value || texture(drawing, texPos - up).r != value;
  color.rgb = mix(color.rgb, tint.rgb, isRim ? min(1.0, 2.0 * drawOpacity) : tint.a * drawOpacity);
}`

// Windows are ours: NiiVue would look for one in the voxels.
NVImage.prototype.calMinMax = () => [0, 1, 0, 1]

/** Decompresses and decodes a NIfTI file. */
export async function decode(bytes: ArrayBuffer): Promise<Scan> {
  const scan = await NVImage.loadFromUrl({ url: 'scan.nii.gz', name: 'scan.nii.gz', buffer: bytes })
  // Whatever the file says it means: NiiVue draws labels another way.
  scan.hdr!.intent_code = 0
  return scan
}

export class Viewer {
  /** Called when slice, plane, zoom or window have changed, by whatever hand. */
  onChange = () => {}
  /** Index into PLANES: the large one, which keys scroll. */
  plane = 0
  private centreMm: Vec3 = [0, 0, 0]
  private zoom = 1
  private crosshair = true
  /** How much is seen of the second scan, 0 to 1. */
  private blend = 0
  /** Whether the second scan's texture has another window. */
  private isTwinStale = false
  private isWindowing = false

  private constructor(private readonly nv: Niivue) {}

  /** Throws Refused where the browser has none. */
  static async on(canvas: HTMLCanvasElement): Promise<Viewer> {
    // NiiVue gets the same one: making it takes long.
    if (!canvas.getContext('webgl2', { alpha: true, antialias: navigator.hardwareConcurrency > 6 })) throw new Refused(NO_WEBGL2)
    const nv = new Niivue({
      backColor: [0, 0, 0, 1],
      crosshairColor: CROSSHAIR.color,
      crosshairGap: CROSSHAIR.gap,
      crosshairWidth: 1,
      crosshairWidthUnit: 'mm',
      dragAndDropEnabled: false,
      dragMode: DRAG_MODE.none,
      fontColor: [0.95, 0.82, 0.35, 1],
      fontMinPx: 18,
      isCornerOrientationText: true,
      // As radiologists read: the patient's right is on the left.
      isRadiologicalConvention: true,
      isResizeCanvas: true,
      loadingText: '',
      logLevel: 'error',
      textHeight: 0.06,
    })
    const viewer = new Viewer(nv)
    // On a double click or a long touch NiiVue would set the window to the scan's own range.
    nv.resetBriCon = () => {}
    await nv.attachToCanvas(canvas)
    // The cross has another width in mm then.
    new ResizeObserver(() => requestAnimationFrame(() => viewer.redraw())).observe(canvas)
    // Before there is a scan: NiiVue's own layout has a rendering in 3-D.
    viewer.setPlane(0)
    nv.onLocationChange = () => viewer.onChange()
    viewer.windowByRightDrag(canvas)
    return viewer
  }

  /** To the right: wider; up: a higher centre. (NiiVue's own starts with a jump, and tells nobody.) */
  private windowByRightDrag(canvas: HTMLCanvasElement): void {
    let last: [number, number] | null = null
    const right = 2
    canvas.addEventListener('pointerdown', (event) => {
      if (event.button !== right) return
      last = [event.clientX, event.clientY]
      canvas.setPointerCapture(event.pointerId)
    })
    canvas.addEventListener('pointermove', (event) => {
      if (!last) return
      const [centre, width] = this.windowHu()
      // A wide window moves faster.
      const step = Math.max(1, width / 200)
      const [wider, higher] = [event.clientX - last[0], last[1] - event.clientY]
      last = [event.clientX, event.clientY]
      this.setWindowHu([centre + step * higher, Math.max(1, width + step * wider)])
    })
    for (const end of ['pointerup', 'pointercancel'] as const) canvas.addEventListener(end, () => (last = null))
  }

  /** Shows a scan in place of all there was, at a voxel of its file, with a window (centre, width) in HU. */
  show(scan: Scan, centreVox: Vec3, windowHu: [number, number]): void {
    if (this.nv.drawBitmap) this.nv.closeDrawing()
    // Not one by one: NiiVue would draw anew what is left.
    this.nv.volumes = []
    this.nv.overlays = []
    scan.cal_min = windowHu[0] - windowHu[1] / 2
    scan.cal_max = windowHu[0] + windowHu[1] / 2
    this.nv.addVolume(scan)
    this.goTo(centreVox)
  }

  /** A voxel of the scan's file in the middle, not enlarged. */
  goTo(centreVox: Vec3): void {
    const affine = this.nv.volumes[0].hdr!.affine
    this.centreMm = [0, 1, 2].map(
      (r) => affine[r][0] * centreVox[0] + affine[r][1] * centreVox[1] + affine[r][2] * centreVox[2] + affine[r][3],
    ) as Vec3
    this.recentre()
  }

  /** What `overlayScan` and `overlayMask` draw with. */
  blendLayers(colours: Colours): void {
    const channel = (i: 0 | 1 | 2 | 3) => colours.map((colour) => colour[i])
    const [R, G, B, A] = [channel(0), channel(1), channel(2), channel(3)]
    this.nv.drawLut = cmapper.makeDrawLut({ R, G, B, A, I: colours.map((_, i) => i) })
    this.nv.setCustomSliceShader(BLENDED)
  }

  /** A scan over the first, with its window. */
  overlayScan(scan: Scan): void {
    const [first] = this.nv.volumes
    ;[scan.cal_min, scan.cal_max] = [first.cal_min, first.cal_max]
    this.nv.volumes.push(scan)
    this.nv.overlays = [scan]
    this.isTwinStale = true
    this.setBlend(this.blend)
  }

  /** How much of the second scan is seen: 0, the first alone; 1, it alone. */
  setBlend(blend: number): void {
    this.blend = blend
    this.nv.overlayAlphaShader = blend
    this.refreshTwin()
    this.nv.drawScene()
  }

  /** Its texture, when it is seen. */
  private refreshTwin(): void {
    const [, twin] = this.nv.volumes
    if (!twin || !this.isTwinStale || this.blend === 0) return
    this.isTwinStale = false
    // NiiVue makes another.
    this.nv.gl.deleteTexture(this.nv.overlayTexture)
    this.nv.refreshLayers(twin, 1)
  }

  /** A mask over the scans, as a file like this one has it. False: it is not on the scan's grid. */
  overlayMask(like: Scan, values: Uint8Array): boolean {
    return this.nv.loadDrawing({ hdr: like.hdr, permRAS: like.permRAS, img: values } as Scan)
  }

  /** 0: not seen. */
  setMaskOpacity(opacity: number): void {
    this.nv.setDrawOpacity(opacity)
  }

  /** The lesion in the middle, not enlarged. */
  recentre(): void {
    this.zoom = 1
    this.nv.scene.crosshairPos = this.nv.mm2frac(this.centreMm)
    this.nv.setPan2Dxyzmm([0, 0, 0, 1])
    this.redraw()
  }

  setPlane(index: number): void {
    this.plane = index
    const [first, second] = PLANES.filter((_, i) => i !== index)
    this.nv.setCustomLayout([
      { sliceType: PLANES[index].type, position: [0, 0, 0.66, 1] },
      { sliceType: first.type, position: [0.665, 0, 0.335, 0.4975] },
      { sliceType: second.type, position: [0.665, 0.5025, 0.335, 0.4975] },
    ])
    this.redraw()
  }

  isEmpty(): boolean {
    return this.nv.volumes.length === 0
  }

  /** The slice in the large plane, from 1, and how many there are. */
  slice(): [number, number] {
    if (this.nv.volumes.length === 0) return [1, 1]
    const { axis } = PLANES[this.plane]
    const at = this.nv.frac2vox(this.nv.scene.crosshairPos)[axis]
    return [Math.round(at) + 1, this.nv.volumes[0].dimsRAS![axis + 1]]
  }

  scroll(slices: number): void {
    if (this.nv.volumes.length === 0) return
    const by = [0, 0, 0]
    by[PLANES[this.plane].axis] = slices
    this.nv.moveCrosshairInVox(by[0], by[1], by[2])
    this.onChange()
  }

  /** Centre and width in HU. */
  windowHu(): [number, number] {
    const scan = this.nv.volumes[0]
    const [low, high] = [scan?.cal_min ?? 0, scan?.cal_max ?? 1]
    return [Math.round((low + high) / 2), Math.round(high - low)]
  }

  setWindowHu([centre, width]: [number, number]): void {
    for (const scan of this.nv.volumes) [scan.cal_min, scan.cal_max] = [centre - width / 2, centre + width / 2]
    this.onChange()
    // A pointer moves more often than a scan can be drawn.
    if (this.isWindowing || this.nv.volumes.length === 0) return
    this.isWindowing = true
    requestAnimationFrame(() => {
      this.isWindowing = false
      const [first] = this.nv.volumes
      if (!first) return
      this.nv.refreshLayers(first, 0)
      this.isTwinStale = true
      this.refreshTwin()
      this.nv.drawScene()
    })
  }

  /** Larger or smaller about the crosshair. */
  zoomBy(factor: number): void {
    if (this.nv.volumes.length === 0) return
    this.zoom = Math.min(ZOOM.most, Math.max(ZOOM.least, this.zoom * factor))
    // NiiVue enlarges about the origin of the scan's coordinates.
    const at = this.nv.frac2mm(this.nv.scene.crosshairPos)
    const shift = [0, 1, 2].map((a) => (1 - this.zoom) * at[a])
    this.nv.setPan2Dxyzmm([shift[0], shift[1], shift[2], this.zoom])
    this.redraw()
  }

  toggleCrosshair(): void {
    this.crosshair = !this.crosshair
    this.redraw()
  }

  private redraw(): void {
    this.nv.drawScene()
    const mmPerPixel = this.nv.screenSlices.map(({ fovMM, leftTopWidthHeight }) => fovMM[0] / leftTopWidthHeight[2])
    const width = this.crosshair ? CROSSHAIR.width * Math.max(0, ...mmPerPixel.filter(Number.isFinite)) : 0
    if (width !== this.nv.opts.crosshairWidth) this.nv.setCrosshairWidth(width)
    this.onChange()
  }
}
