// Two readers, by keyboard alone, with a reload, a server that is killed and started again, and a change of mind.
// Then one, what organ tumors are in.
// STUDY, ORGANS (another study), SERVER (the program that serves them), TOKENS (JSON), CHROMIUM; SCREENSHOTS (a folder) if pictures are wanted.
// The last line on stdout is JSON: what each reader answered, in order, and times in ms.
import assert from 'node:assert/strict'
import { spawn } from 'node:child_process'
import { createInterface } from 'node:readline'
import { GRAPHICS, launch, look, picture, watch } from './tools.mjs'

const { STUDY, ORGANS, SERVER, TOKENS } = process.env
const tokens = JSON.parse(TOKENS)
const answered = []

let server
let port = 0

async function start(study = STUDY) {
  server = spawn(SERVER, [study, String(port)], { stdio: ['ignore', 'pipe', 'inherit'] })
  for await (const line of createInterface({ input: server.stdout })) {
    port = Number(new URL(line).port)
    return
  }
  throw new Error('the server did not start')
}

async function kill() {
  const ended = new Promise((resolve) => server.once('exit', resolve))
  server.kill('SIGKILL')
  await ended
}

/** Waits until an item is on the screen; its number. */
async function shown(page) {
  await page.waitForFunction(() => !document.querySelector('#answers button')?.disabled && document.querySelector('#notice').hidden)
  return Number((await page.textContent('#count')).split(' ')[0])
}

async function answer(page, key) {
  const index = await shown(page)
  answered.push({ reader: await page.textContent('#reader'), index: index - 1, answer: key === 'r' ? 'real' : 'synthetic' })
  await page.keyboard.press(key)
}

async function saved(page) {
  await page.waitForFunction(() => document.querySelector('#saved').textContent === 'Saved', undefined, { timeout: 60_000 })
}

async function open(context, token, problems) {
  const page = await context.newPage()
  watch(page, problems)
  // A browser that has drawn something before: its own start is not the page's.
  await page.goto(`http://127.0.0.1:${port}/`)
  await page.waitForTimeout(500)
  await page.goto(`http://127.0.0.1:${port}/r/${token}/`)
  await shown(page)
  return page
}

async function times(page) {
  await page.waitForFunction(() => performance.getEntriesByName('slice-shown').length > 0)
  return page.evaluate(() => {
    const at = (name) => Math.round(performance.getEntriesByName(name)[0].startTime)
    return { interactive_ms: at('interactive'), slice_ms: at('slice-shown') }
  })
}

async function keysMoveTheScan(page) {
  const first = await look(page)
  assert.ok(first.lit > 0.2 && first.levels > 50, `the scan is seen: ${JSON.stringify(first)}`)
  const text = () => page.textContent('#slice-text')
  const before = await text()
  for (const key of ['ArrowUp', 'PageUp']) await page.keyboard.press(key)
  const slice = (words) => Number(/Slice (\d+)/.exec(words)[1])
  assert.equal(slice(await text()), slice(before) + 6)
  await page.keyboard.press('w')
  assert.match(await text(), /C 40 W 400/)
  assert.notEqual((await look(page)).sum, first.sum)
  await picture(page, 'soft-tissue')
  for (const key of ['w', 'w', 'w', 'w', 'Home', '2', '+', '+', 'x']) await page.keyboard.press(key)
  await picture(page, 'coronal-enlarged')
  assert.equal(await page.getAttribute('#planes button:nth-child(2)', 'aria-pressed'), 'true')
  for (const key of ['x', 'v', 'v', 'Home']) await page.keyboard.press(key)
  assert.equal(await text(), before)
  assert.equal((await look(page)).sum, first.sum, 'what was seen at first')
}

async function theMouseMovesTheScan(page) {
  const text = () => page.textContent('#slice-text')
  const before = await text()
  await page.mouse.move(300, 300)
  await page.mouse.wheel(0, 120)
  await page.waitForFunction((old) => document.querySelector('#slice-text').textContent !== old, before)
  await page.mouse.down({ button: 'right' })
  await page.mouse.move(360, 340, { steps: 5 })
  await page.mouse.up({ button: 'right' })
  // 60 px to the right and 40 down, 2 HU each or a little more as the window widens.
  const [centre, width] = /C (-?\d+) W (\d+)/.exec(await text()).slice(1).map(Number)
  assert.ok(centre < -20 && centre > -80 && width > 510 && width < 600, await text())
  await page.click('#windows button:first-child')
  await page.keyboard.press('Home')
  assert.equal(await text(), before)
}

async function organs(context, problems) {
  await kill()
  await start(ORGANS)
  const page = await open(context, tokens[0], problems)
  await picture(page, 'organs')
  // Digits answer, letters where nothing else has them: P rests, and does not answer pancreas.
  await page.keyboard.press('2')
  await shown(page)
  await page.keyboard.press('p')
  assert.ok(await page.isVisible('#curtain'))
  await page.keyboard.press('p')
  await page.keyboard.press('3')
  await shown(page)
  await page.dblclick('#answers button:nth-child(1)')
  await page.waitForFunction(() => /All items are answered and saved/.test(document.querySelector('#list-title').textContent))
}

/** The second answers what the first has in view: the first is told, and loses nothing else. */
async function twoWindows(context, page, problems) {
  const index = (await shown(page)) - 1
  const second = await open(context, tokens[0], problems)
  assert.equal(await shown(second), index + 1)
  await answer(second, 'r')
  await saved(second)
  await page.keyboard.press('s')
  await page.waitForSelector('#message:not([hidden])')
  assert.match(await page.textContent('#message'), new RegExp(`Item ${index + 1} was answered in another window`))
  await picture(page, 'two-windows')
  await second.close()
  await page.keyboard.press('Backspace')
  assert.equal(await shown(page), index + 1)
  assert.equal(await page.getAttribute('#answers button:nth-child(1)', 'aria-pressed'), 'true', 'what holds is shown')
  await page.keyboard.press('ArrowRight')
}

async function withoutWebGl2() {
  const browser = await launch(['--disable-3d-apis'])
  const page = await browser.newPage()
  await page.goto(`http://127.0.0.1:${port}/r/${tokens[0]}/`)
  await page.waitForFunction(() => /no WebGL 2/.test(document.querySelector('#notice').textContent))
  await picture(page, 'no-webgl2')
  await page.goto(`http://127.0.0.1:${port}/`)
  assert.match(await page.textContent('body'), /open the link that you were given/)
  await picture(page, 'start')
  await browser.close()
}

/** A finger on a small plane moves the others there; the slider scrolls. */
async function touch(page) {
  const text = () => page.textContent('#slice-text')
  const before = await text()
  // A finger stays for a while; Playwright's own tap does not.
  const input = await page.context().newCDPSession(page)
  await input.send('Input.dispatchTouchEvent', { type: 'touchStart', touchPoints: [{ x: 610, y: 130 }] })
  await page.waitForTimeout(100)
  await input.send('Input.dispatchTouchEvent', { type: 'touchEnd', touchPoints: [] })
  await page.waitForFunction((old) => document.querySelector('#slice-text').textContent !== old, before)
  await page.locator('#slice').fill('10')
  assert.match(await text(), /Slice 10 of 96/)
  await page.tap('#centre')
  assert.equal(await text(), before)
}

async function restStopsTheClock(page) {
  const readingMs = () =>
    page.evaluate(() => Number(localStorage.getItem(Object.keys(localStorage).find((key) => key.includes('/reading/')))))
  const show = (state) =>
    page.evaluate((value) => {
      Object.defineProperty(document, 'visibilityState', { value, configurable: true })
      document.dispatchEvent(new Event('visibilitychange'))
    }, state)
  await show('hidden')
  const hidden = await readingMs()
  assert.ok(hidden > 0)
  await page.waitForTimeout(1500)
  assert.equal(await readingMs(), hidden, 'a hidden page is not read')
  await show('visible')
  await page.keyboard.press('p')
  assert.ok(await page.isVisible('#curtain'))
  const rested = await readingMs()
  const count = await page.textContent('#count')
  await page.keyboard.press('r')
  await page.waitForTimeout(1500)
  assert.equal(await readingMs(), rested, 'who rests does not read')
  assert.equal(await page.textContent('#count'), count, 'no answers while resting')
  await picture(page, 'rest')
  await page.keyboard.press('p')
  await page.waitForTimeout(1500)
  const after = await readingMs()
  assert.ok(after > rested && after < rested + 6000, `${rested} ms, then ${after} ms`)
}

async function firstReader(context, problems) {
  const page = await open(context, tokens[0], problems)
  const time = await times(page)
  await picture(page, 'first-1280x800')
  await page.setViewportSize({ width: 1024, height: 768 })
  await page.waitForTimeout(300)
  await picture(page, 'first-1024x768')
  await page.setViewportSize({ width: 1280, height: 800 })
  await keysMoveTheScan(page)
  await theMouseMovesTheScan(page)
  await restStopsTheClock(page)
  await answer(page, 'r')
  await answer(page, 's')
  await saved(page)
  await page.reload()
  assert.equal(await shown(page), 3, 'goes on where it was')
  return { page, time }
}

/** The server dies between two answers. The first is kept by the browser, over a reload too. */
async function killed(page) {
  await shown(page)
  await page.waitForTimeout(500)
  await kill()
  await answer(page, 's')
  await page.waitForFunction(() => /Not saved yet/.test(document.querySelector('#saved').textContent))
  await picture(page, 'server-away')
  await start()
  await saved(page)
}

async function finish(page, keys, name) {
  for (const key of keys) await answer(page, key)
  await page.waitForFunction(() => /All items are answered and saved/.test(document.querySelector('#list-title').textContent))
  await picture(page, name)
}

async function main() {
  await start()
  await withoutWebGl2()
  const browser = await launch(GRAPHICS)
  const viewport = { width: 1280, height: 800 }
  const problems = []
  const contexts = [await browser.newContext({ viewport }), await browser.newContext({ viewport: { width: 1024, height: 768 }, hasTouch: true })]
  const { page: one, time } = await firstReader(contexts[0], problems)
  const two = await open(contexts[1], tokens[1], problems)
  await touch(two)
  await answer(two, 's')
  await killed(one)
  await answer(two, 'r')
  await saved(two)
  // Back by two, another answer, and on; the item in between is passed.
  for (const key of ['Backspace', 'ArrowLeft']) {
    await shown(one)
    await one.keyboard.press(key)
  }
  assert.equal(await shown(one), 2)
  assert.equal(await one.getAttribute('#answers button:nth-child(2)', 'aria-pressed'), 'true')
  await answer(one, 'r')
  assert.equal(await shown(one), 3)
  await one.keyboard.press('ArrowRight')
  await one.keyboard.press('e')
  assert.match(await one.textContent('#list-title'), /items are left/)
  await picture(one, 'items-left')
  await one.keyboard.press('ArrowLeft')
  await one.keyboard.press('ArrowLeft')
  assert.equal(await shown(one), 5)
  await one.keyboard.press('ArrowLeft')
  await twoWindows(contexts[0], one, problems)
  await finish(one, ['s', 'r'], 'done')
  await finish(two, ['r', 's', 's', 'r'], 'done-1024x768')
  await organs(contexts[0], problems)
  assert.deepEqual(problems, [])
  await browser.close()
  console.log(JSON.stringify({ answered, time }))
}

main()
  .catch((error) => {
    console.error(error)
    process.exitCode = 1
  })
  .finally(() => server?.kill('SIGKILL'))
  .finally(() => setTimeout(() => process.exit(), 500))
