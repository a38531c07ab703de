// What both browser tests use. CHROMIUM; SCREENSHOTS (a folder) if pictures are wanted.
import { join } from 'node:path'
import { chromium } from 'playwright-core'

const { CHROMIUM, SCREENSHOTS } = process.env

/** Graphics in software. */
export const GRAPHICS = ['--use-angle=swiftshader', '--enable-unsafe-swiftshader', '--ignore-gpu-blocklist']

/** What a browser says of servers that were killed and of verdicts and answers that came too late. */
const EXPECTED = /ERR_CONNECTION_REFUSED|ERR_EMPTY_RESPONSE|ERR_CONNECTION_RESET|409 \(Conflict\)/

/** Notes errors on the page and in the console, and requests to other hosts. */
export function watch(page, problems) {
  page.on('pageerror', (error) => problems.push(String(error)))
  page.on('console', (message) => {
    if (message.type() === 'error' && !EXPECTED.test(message.text())) problems.push(message.text())
  })
  page.on('request', (request) => {
    const url = new URL(request.url())
    if (url.protocol !== 'data:' && url.protocol !== 'blob:' && url.hostname !== '127.0.0.1') problems.push('asked ' + url)
  })
}

export async function picture(page, name) {
  if (SCREENSHOTS) await page.screenshot({ path: join(SCREENSHOTS, name + '.png') })
}

/** How much of the canvas is lit, 0 to 1, and how many levels of grey there are: a scan is neither black nor one colour. */
export async function look(page) {
  const png = await page.locator('#scan').screenshot()
  return page.evaluate(async (base64) => {
    const image = new Image()
    image.src = 'data:image/png;base64,' + base64
    await image.decode()
    const canvas = new OffscreenCanvas(image.width, image.height)
    const context = canvas.getContext('2d')
    context.drawImage(image, 0, 0)
    const { data } = context.getImageData(0, 0, image.width, image.height)
    const levels = new Set()
    let lit = 0
    let sum = 0
    for (let i = 0; i < data.length; i += 4) {
      levels.add(data[i])
      if (data[i] > 40) lit++
      sum = (sum * 31 + data[i]) % 1000003
    }
    return { lit: (4 * lit) / data.length, levels: levels.size, sum }
  }, png.toString('base64'))
}

export function launch(args) {
  return chromium.launch({ executablePath: CHROMIUM, args: [...args, '--no-sandbox', '--disable-dev-shm-usage'] })
}
