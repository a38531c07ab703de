// How long a CT of 512 × 512 × 300 voxels takes from navigation to its first slice: `node large.mjs [TIMES]`, after run.sh.
// SERVER (the program that views it), CHROMIUM; SCREENSHOTS if pictures are wanted. The scan is the example's, smeared and with noise.
import { spawn } from 'node:child_process'
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import { gunzipSync, gzipSync } from 'node:zlib'
import { GRAPHICS, launch, picture } from './tools.mjs'

const SIDE = 512
const SLICES = 300
const HEADER = 352
const EXAMPLE = new URL('../../../../examples/crlm-ct-1006/ct.nii.gz', import.meta.url)

/** The example stretched to the shape, with noise of ±20 HU. */
function scan() {
  const nifti = gunzipSync(readFileSync(EXAMPLE))
  const [nx, ny, nz] = [42, 44, 46].map((at) => nifti.readInt16LE(at))
  const from = new Int16Array(nifti.buffer.slice(nifti.byteOffset + HEADER, nifti.byteOffset + HEADER + 2 * nx * ny * nz))
  const header = Buffer.from(nifti.subarray(0, HEADER))
  ;[SIDE, SIDE, SLICES].forEach((size, a) => header.writeInt16LE(size, 42 + 2 * a))
  // Spacing in z, and the affine's third column, of 5 mm.
  for (const at of [88, 288, 304, 320]) header.writeFloatLE(header.readFloatLE(at) * (nz / SLICES), at)
  const to = new Int16Array(SIDE * SIDE * SLICES)
  let random = 1
  for (let i = 0; i < to.length; i++) {
    const [x, y, z] = [i % SIDE, Math.floor(i / SIDE) % SIDE, Math.floor(i / SIDE / SIDE)]
    const at = Math.floor((x * nx) / SIDE) + nx * (Math.floor((y * ny) / SIDE) + ny * Math.floor((z * nz) / SLICES))
    random = (Math.imul(random, 1664525) + 1013904223) >>> 0
    to[i] = from[at] + (random >>> 16) % 41 - 20
  }
  return gzipSync(Buffer.concat([header, Buffer.from(to.buffer)]), { level: 1 })
}

/** Times in ms: the scan's bytes are here; drawn, as the page has it; drawn, as the graphics have it; drawn with another window. */
async function measure(link) {
  const browser = await launch(GRAPHICS)
  const page = await browser.newPage({ viewport: { width: 1280, height: 800 } })
  page.setDefaultTimeout(120_000)
  // A browser that has drawn something before: its own start is not the page's.
  await page.goto(new URL('/assets/LICENSES.txt', link).href)
  await page.waitForTimeout(500)
  await page.goto(link)
  await page.waitForFunction(() => performance.getEntriesByName('slice-shown').length > 0)
  const times = await page.evaluate(async () => {
    const drawn = () => {
      const gl = document.querySelector('#scan').getContext('webgl2')
      gl.readPixels(0, 0, 1, 1, gl.RGBA, gl.UNSIGNED_BYTE, new Uint8Array(4))
      return performance.now()
    }
    const graphics_ms = drawn()
    document.dispatchEvent(new KeyboardEvent('keydown', { key: 'w' }))
    await new Promise((frame) => requestAnimationFrame(() => requestAnimationFrame(frame)))
    const scan = performance.getEntriesByType('resource').find((entry) => entry.name.endsWith('ct.nii.gz'))
    const page_ms = performance.getEntriesByName('slice-shown')[0].startTime
    return { fetched_ms: scan.responseEnd, page_ms, graphics_ms, window_ms: drawn() - graphics_ms }
  })
  await picture(page, 'large')
  await browser.close()
  return Object.fromEntries(Object.entries(times).map(([name, ms]) => [name, Math.round(ms)]))
}

const folder = mkdtempSync(join(tmpdir(), 'large-'))
const path = join(folder, 'ct.nii.gz')
writeFileSync(path, scan())
const server = spawn(process.env.SERVER, [path], { stdio: ['ignore', 'pipe', 'inherit'] })
const { value: link } = await createInterface({ input: server.stdout })[Symbol.asyncIterator]().next()
try {
  for (let i = 0; i < Number(process.argv[2] ?? 1); i++) console.log(JSON.stringify(await measure(link)))
} finally {
  server.kill('SIGKILL')
  rmSync(folder, { recursive: true })
}
process.exit()
