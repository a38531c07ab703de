// A dataset looked through by keyboard: masks, before and after, tumors, verdicts, a server that is killed; then by touch on a tablet.
// DATASET (three cases: whole; without a healthy scan; with a scan that breaks off), VIEWER (the program), CHROMIUM; SCREENSHOTS (a folder)
// if pictures are wanted. The last line on stdout is JSON: times in ms.
import assert from 'node:assert/strict'
import { spawn } from 'node:child_process'
import { createInterface } from 'node:readline'
import { join } from 'node:path'
import { chromium } from 'playwright-core'

const { DATASET, VIEWER, CHROMIUM, SCREENSHOTS } = process.env
const servers = []

async function start() {
  const server = spawn(VIEWER, [DATASET], { stdio: ['ignore', 'pipe', 'inherit'] })
  servers.push(server)
  for await (const link of createInterface({ input: server.stdout })) return { server, link }
  throw new Error('the server did not start')
}

async function kill(server) {
  const ended = new Promise((resolve) => server.once('exit', resolve))
  server.kill('SIGKILL')
  await ended
}

async function picture(page, name) {
  if (SCREENSHOTS) await page.screenshot({ path: join(SCREENSHOTS, `view-${name}.png`) })
}

/** The pixels of the scan's canvas. */
async function pixels(page) {
  await page.waitForTimeout(200)
  const png = await page.locator('#scan').screenshot()
  return page.evaluate(async (base64) => {
    const image = new Image()
    image.src = 'data:image/png;base64,' + base64
    await image.decode()
    const context = new OffscreenCanvas(image.width, image.height).getContext('2d')
    context.drawImage(image, 0, 0)
    return Array.from(context.getImageData(0, 0, image.width, image.height).data)
  }, png.toString('base64'))
}

/** Pixels that are not grey: masks are coloured, and so are crosshair and letters. */
const coloured = (data) => count(data, (i) => Math.max(data[i], data[i + 1], data[i + 2]) - Math.min(data[i], data[i + 1], data[i + 2]) > 20)
const differing = (a, b) => count(a, (i) => [0, 1, 2].some((c) => Math.abs(a[i + c] - b[i + c]) > 8))

function count(data, is) {
  let n = 0
  for (let i = 0; i < data.length; i += 4) if (is(i)) n++
  return n
}

/** What the browser and NiiVue say of a scan that breaks off, and the browser of a server that is away. */
const EXPECTED = /Compressed input was truncated|niivue-error Error processing NIfTI file|Failed to load resource/

function tell(said, problems) {
  if (!EXPECTED.test(said)) problems.push(said)
}

async function open(browser, link, options, problems) {
  const page = await (await browser.newContext(options)).newPage()
  page.setDefaultTimeout(30_000)
  page.on('pageerror', (error) => tell(String(error), problems))
  page.on('console', (said) => ['error', 'warning'].includes(said.type()) && tell(said.text(), problems))
  page.on('request', (request) => {
    const { protocol, hostname } = new URL(request.url())
    if (!['data:', 'blob:'].includes(protocol) && hostname !== '127.0.0.1') problems.push(`asked for ${request.url()}`)
  })
  await page.goto(link)
  await whole(page)
  return page
}

/** The case, its masks and its healthy scan are there. */
const whole = (page) => page.waitForFunction(() => performance.getEntriesByName('case-shown').length > 0)

/** By a key, to another case that is whole. */
async function go(page, key) {
  await page.evaluate(() => performance.clearMarks())
  await page.keyboard.press(key)
  await whole(page)
}

const state = (page, i) => page.textContent(`#cases button:nth-child(${i}) .state`)
const saved = (page, words) => page.waitForFunction((w) => document.querySelector('#saved').textContent.startsWith(w), words)

async function masksAndBefore(page) {
  await page.keyboard.press('c')
  const masked = await pixels(page)
  await page.keyboard.press('m')
  const plain = await pixels(page)
  assert.ok(coloured(masked) > coloured(plain) + 2000, `masks: ${coloured(masked)} and ${coloured(plain)} coloured pixels`)
  await page.keyboard.press('b')
  const before = await pixels(page)
  assert.match(await page.textContent('#before-text'), /healthy/)
  await picture(page, 'before')
  const changed = differing(plain, before)
  assert.ok(changed > 500 && changed < plain.length / 40, `before and after differ in ${changed} pixels: the tumors`)
  await page.keyboard.press('b')
  assert.equal(differing(plain, await pixels(page)), 0, 'after, again')
  await page.locator('#blend').fill('50')
  const half = await pixels(page)
  let furthest = 0
  for (let i = 0; i < half.length; i++) furthest = Math.max(furthest, Math.abs(half[i] - (plain[i] + before[i]) / 2))
  assert.ok(furthest <= 3, `half way is the mean, within ${furthest}`)
  await page.locator('#blend').fill('0')
  await page.keyboard.press('m')
  await page.keyboard.press('c')
}

async function tumorsAndSlices(page) {
  const text = () => page.textContent('#slice-text')
  const first = await text()
  assert.match(first, /Slice 19 of \d+ · C 50 W 400/, 'at the largest tumor')
  await page.evaluate(() => document.activeElement.blur())
  await page.keyboard.press('Tab')
  await page.keyboard.press('Tab')
  await page.keyboard.press('Enter')
  assert.match(await text(), /Slice 17 of/, 'at the second one')
  assert.match(await page.textContent('#tumors button:nth-child(2)'), /edge_mm 3\.2 is outside/)
  await picture(page, 'second-tumor')
  await page.keyboard.press('ArrowUp')
  assert.match(await text(), /Slice 18 of/)
  await page.keyboard.press('w')
  assert.match(await text(), /C 80 W 160/)
  for (let i = 0; i < 3; i++) await page.keyboard.press('w')
  await page.evaluate(() => document.activeElement.blur())
}

async function verdicts(page) {
  await page.keyboard.press('a')
  await saved(page, 'Saved')
  assert.match(await state(page, 1), /accepted/)
  await go(page, 'n')
  assert.ok(await page.isHidden('#before'), 'without a healthy scan there is no slider')
  await page.keyboard.press('t')
  // Keys are letters in a note.
  await page.keyboard.type('edge too sharp, n n p x')
  await page.keyboard.press('Escape')
  assert.equal(await page.textContent('#count'), '2 of 3')
}

/** Nothing that was written is lost with the server. */
async function serverAway(page, server, browser, problems) {
  await kill(server)
  await page.keyboard.press('x')
  await saved(page, 'Not saved')
  assert.match(await page.textContent('#message'), /server is away/)
  assert.equal(await page.inputValue('#note'), 'edge too sharp, n n p x')
  await picture(page, 'server-away')
  const { link } = await start()
  const again = await open(browser, link, { viewport: { width: 1280, height: 800 } }, problems)
  assert.match(await state(again, 1), /accepted/)
  await go(again, 'n')
  await again.keyboard.press('t')
  await again.keyboard.type('edge too sharp, n n p x')
  await again.keyboard.press('Escape')
  await again.keyboard.press('x')
  await saved(again, 'Saved')
  assert.match(await state(again, 2), /rejected/)
  await picture(again, 'rejected')
  // A scan that breaks off is told, cannot be accepted, and holds up nothing.
  await again.keyboard.press('n')
  await again.waitForFunction(() => /cannot be read/.test(document.querySelector('#notice').textContent))
  assert.ok(await again.isDisabled('#accept'))
  await picture(again, 'damaged')
  await go(again, 'p')
  return link
}

async function tablet(browser, link, problems) {
  const page = await open(browser, link, { viewport: { width: 1024, height: 768 }, hasTouch: true }, problems)
  await page.tap('#cases button:nth-child(2)')
  await page.waitForFunction(() => document.querySelector('#count').textContent === '2 of 3' && document.querySelector('#notice').hidden)
  await page.tap('#tumors button:nth-child(2)')
  assert.match(await page.textContent('#slice-text'), /Slice 17 of/)
  assert.equal(await page.inputValue('#note'), 'edge too sharp, n n p x')
  const overflow = await page.evaluate(() => document.documentElement.scrollWidth - innerWidth)
  assert.ok(overflow <= 0, `${overflow} pixels too wide`)
  await picture(page, 'tablet')
}

async function main() {
  const { server, link } = await start()
  const args = ['--use-angle=swiftshader', '--enable-unsafe-swiftshader', '--ignore-gpu-blocklist', '--no-sandbox', '--disable-dev-shm-usage']
  const browser = await chromium.launch({ executablePath: CHROMIUM, args })
  const problems = []
  const page = await open(browser, link, { viewport: { width: 1280, height: 800 } }, problems)
  const time = await page.evaluate(() =>
    Object.fromEntries(['slice-shown', 'case-shown'].map((mark) => [mark, Math.round(performance.getEntriesByName(mark)[0].startTime)])),
  )
  assert.equal(await page.locator('#cases button').count(), 3)
  await page.waitForFunction(() => document.querySelectorAll('#cases img.is-drawn').length === 2)
  await picture(page, 'first')
  await masksAndBefore(page)
  await tumorsAndSlices(page)
  await verdicts(page)
  const again = await serverAway(page, server, browser, problems)
  await tablet(browser, again, problems)
  assert.deepEqual(problems, [])
  await browser.close()
  console.log(JSON.stringify(time))
}

main()
  .catch((error) => {
    console.error(error)
    process.exitCode = 1
  })
  .finally(() => servers.forEach((server) => server.kill('SIGKILL')))
  .finally(() => setTimeout(() => process.exit(), 500))
