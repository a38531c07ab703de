// A scan in three planes, by NiiVue: all that knows of NiiVue is here.
import { DRAG_MODE, NVImage, Niivue, SLICE_TYPE } from '@niivue/niivue'
import { Refused } from './api'

/** Planes in the order of their keys: name, NiiVue's plane, the voxel axis (of RAS) that scrolls. */
export const PLANES = [
  { name: 'Axial', type: SLICE_TYPE.AXIAL, axis: 2 },
  { name: 'Coronal', type: SLICE_TYPE.CORONAL, axis: 1 },
  { name: 'Sagittal', type: SLICE_TYPE.SAGITTAL, axis: 0 },
] as const

/** Width in mm, gap about the lesion in NiiVue's pixels. */
const CROSSHAIR = { width: 0.25, gap: 24, color: [0.75, 0.62, 0.2, 0.8] }
const ZOOM = { least: 0.5, most: 8 }

const NO_WEBGL2 =
  'This browser cannot show scans: it has no WebGL 2.\n' +
  'Please use a current Firefox, Chrome, Edge or Safari with graphics acceleration turned on.'

/** A decoded scan. */
export type Scan = NVImage

type Vec3 = [number, number, number]

/** A mask's colours: the label value, red, green, blue; 0 is seen through. */
export type Colours = [value: number, red: number, green: number, blue: number][]

/** Greys that hide what is below: NiiVue's own are seen through where they are dark. */
const OPAQUE_GREY = { R: [0, 255], G: [0, 255], B: [0, 255], A: [255, 255], I: [0, 255] }

/** Decompresses and decodes a NIfTI file. */
export function decode(bytes: ArrayBuffer): Promise<Scan> {
  return NVImage.loadFromUrl({ url: 'scan.nii.gz', name: 'scan.nii.gz', buffer: bytes })
}

export class Viewer {
  /** Called when slice, plane, zoom or window have changed, by whatever hand. */
  onChange = () => {}
  /** Index into PLANES: the large one, which keys scroll. */
  plane = 0
  private centreMm: Vec3 = [0, 0, 0]
  private zoom = 1
  private crosshair = true
  /** A scan over the first, which has the same window. */
  private twin: Scan | null = null

  private constructor(private readonly nv: Niivue) {}

  /** Throws Refused where the browser has none. */
  static async on(canvas: HTMLCanvasElement): Promise<Viewer> {
    if (!document.createElement('canvas').getContext('webgl2')) throw new Refused(NO_WEBGL2)
    const nv = new Niivue({
      backColor: [0, 0, 0, 1],
      crosshairColor: CROSSHAIR.color,
      crosshairGap: CROSSHAIR.gap,
      crosshairWidth: CROSSHAIR.width,
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

  /** Shows a scan in place of the last one, at a voxel of its file, with a window (centre, width) in HU. */
  show(scan: Scan, centreVox: Vec3, windowHu: [number, number]): void {
    // The last first: NiiVue draws anew with what is left, which lies on the first one's grid.
    for (const old of [...this.nv.volumes].reverse()) this.nv.removeVolume(old)
    this.twin = null
    scan.cal_min = windowHu[0] - windowHu[1] / 2
    scan.cal_max = windowHu[0] + windowHu[1] / 2
    this.nv.addVolume(scan)
    this.setPlane(this.plane)
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

  /** A scan over the first, with its window. */
  overlayScan(scan: Scan, opacity: number): void {
    const first = this.nv.volumes[0]
    ;[scan.cal_min, scan.cal_max] = [first.cal_min, first.cal_max]
    this.nv.addColormap('opaque-grey', OPAQUE_GREY)
    scan.colormap = 'opaque-grey'
    scan.opacity = opacity
    this.nv.addVolume(scan)
    // Below masks: NiiVue draws volumes in their order.
    this.nv.setVolume(scan, 1)
    this.twin = scan
  }

  /** A mask over all scans. */
  overlayMask(scan: Scan, colours: Colours, opacity: number): void {
    const column = (channel: 1 | 2 | 3) => [0, ...colours.map((colour) => colour[channel])]
    const [R, G, B] = [column(1), column(2), column(3)]
    scan.setColormapLabel({ R, G, B, A: R.map((_, i) => (i === 0 ? 0 : 255)), I: [0, ...colours.map(([value]) => value)] })
    scan.opacity = opacity
    this.nv.addVolume(scan)
  }

  /** 0: not seen; 1: hides what is below. */
  setOpacity(scan: Scan, opacity: number): void {
    const index = this.nv.volumes.indexOf(scan)
    if (index >= 0) this.nv.setOpacity(index, opacity)
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
    const scan = this.nv.volumes[0]
    if (!scan) return
    scan.cal_min = centre - width / 2
    scan.cal_max = centre + width / 2
    if (this.twin) [this.twin.cal_min, this.twin.cal_max] = [scan.cal_min, scan.cal_max]
    this.nv.updateGLVolume()
    this.onChange()
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
    this.nv.setCrosshairWidth(this.crosshair ? CROSSHAIR.width : 0)
  }

  private redraw(): void {
    this.nv.drawScene()
    this.onChange()
  }
}
