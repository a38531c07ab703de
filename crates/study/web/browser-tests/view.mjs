// The viewer: masks, before and after, tumors, verdicts by keyboard, a server that is killed and started again, a tablet.
// DATASET (two cases, each with a healthy copy and two tumors), SERVER (the program that views it), CHROMIUM; SCREENSHOTS if pictures are wanted.
// The last line on stdout is JSON: times in ms.
import assert from 'node:assert/strict'
import { spawn } from 'node:child_process'
import { createInterface } from 'node:readline'
import { GRAPHICS, launch, look, picture, watch } from './tools.mjs'

const { DATASET, SERVER } = process.env

let server
let port = 0

/** Its link. */
async function start() {
  server = spawn(SERVER, [DATASET, String(port)], { stdio: ['ignore', 'pipe', 'inherit'] })
  for await (const line of createInterface({ input: server.stdout })) {
    port = Number(new URL(line).port)
    return line
  }
  throw new Error('the server did not start')
}

async function kill() {
  const ended = new Promise((resolve) => server.once('exit', resolve))
  server.kill('SIGKILL')
  await ended
}

async function open(context, link, problems) {
  const page = await context.newPage()
  page.setDefaultTimeout(60_000)
  watch(page, problems)
  await page.goto(link)
  await shown(page)
  return page
}

/** Waits until a case is on the screen with all that lies over it. */
async function shown(page) {
  await page.waitForFunction(() => performance.getEntriesByName('case-shown').length > 0)
  await page.evaluate(() => performance.clearMarks('case-shown'))
}

async function press(page, ...keys) {
  for (const key of keys) await page.keyboard.press(key)
}

async function saved(page, text) {
  await page.waitForFunction((text) => document.querySelector('#saved').textContent === text, text)
}

const state = (page, index) => page.textContent(`#cases button:nth-child(${index}) .state`)

async function layers(page) {
  const first = await look(page)
  assert.ok(first.lit > 0.2 && first.levels > 50, `the scan is seen: ${JSON.stringify(first)}`)
  const sums = [first.sum]
  for (const key of ['m', 'b', 'm', 'b']) {
    await press(page, key)
    sums.push((await look(page)).sum)
  }
  const [masked, after, before, maskedBefore, again] = sums
  assert.equal(new Set([masked, after, before, maskedBefore]).size, 4, `masks and scans are seen: ${sums}`)
  assert.equal(again, masked, 'what was seen at first')
  await page.locator('#opacity').fill('0')
  assert.equal((await look(page)).sum, after, 'masks that are seen through are not seen')
  await page.locator('#blend').fill('100')
  assert.equal((await look(page)).sum, before, 'the slider does what B does')
  await picture(page, 'view-before')
  await page.locator('#blend').fill('50')
  assert.match(await page.textContent('#before-text'), /50 % healthy/)
  assert.equal(new Set([after, before, (await look(page)).sum]).size, 3, 'half of each')
  await page.locator('#blend').fill('0')
  await page.locator('#opacity').fill('30')
  assert.equal((await look(page)).sum, masked)
  // The sliders' arrows are theirs no more.
  await page.evaluate(() => document.activeElement.blur())
}

async function tumors(page) {
  const text = () => page.textContent('#slice-text')
  assert.match(await text(), /Slice 19 of 29/, 'the larger one is in view')
  assert.match(await page.textContent('#tumors .warn'), /gate: warn.*flat: too flat/s)
  await press(page, 'Tab', 'Tab', 'Enter')
  assert.match(await text(), /Slice 15 of 29/)
  await picture(page, 'view-second-tumor')
  await press(page, 'Home', 'ArrowUp')
  assert.match(await text(), /Slice 16 of 29/)
}

async function verdicts(page) {
  await press(page, 'a')
  await saved(page, 'Saved: case_1 accepted')
  await press(page, 'n')
  await shown(page)
  assert.equal(await page.textContent('#count'), '2 of 2')
  await press(page, 't')
  await page.keyboard.type('an edge like a knife')
  await press(page, 'Escape', 'x')
  await saved(page, 'Saved: case_2 rejected')
  assert.deepEqual([await state(page, 1), await state(page, 2)], ['✓ accepted', '✗ rejected'])
  await picture(page, 'view-rejected')
}

/** A verdict while the server is away is told to be lost, its note stays. A new server has a new link. */
async function killed(page, context, problems) {
  await kill()
  await press(page, 't')
  await page.keyboard.type(' (?)')
  await press(page, 'Escape')
  await page.waitForFunction(() => /server is away/.test(document.querySelector('#message').textContent))
  assert.equal(await page.inputValue('#note'), 'an edge like a knife (?)')
  await picture(page, 'view-server-away')
  const link = await start()
  await press(page, 'x')
  await page.waitForFunction(() => /There is nothing here/.test(document.querySelector('#message').textContent))
  problems.splice(0, problems.length, ...problems.filter((problem) => !/404/.test(problem)))
  await page.close()
  const again = await open(context, link, problems)
  assert.deepEqual([await state(again, 1), await state(again, 2)], ['✓ accepted', '✗ rejected'])
  await press(again, 'n')
  await shown(again)
  assert.equal(await again.inputValue('#note'), 'an edge like a knife')
  assert.equal(await again.getAttribute('#reject', 'aria-pressed'), 'true')
  await again.close()
  return link
}

/** Touches alone: another case, its second tumor, the masks. */
async function tablet(browser, link, problems) {
  const context = await browser.newContext({ viewport: { width: 1024, height: 768 }, hasTouch: true })
  const page = await open(context, link, problems)
  await page.tap('#cases button:nth-child(2)')
  await shown(page)
  const before = await page.textContent('#slice-text')
  await page.tap('#tumors button:nth-child(2)')
  assert.notEqual(await page.textContent('#slice-text'), before)
  await page.tap('#mask')
  assert.equal(await page.getAttribute('#mask', 'aria-pressed'), 'false')
  const isWithin = await page.evaluate(() => document.documentElement.scrollWidth <= innerWidth && document.querySelector('aside').scrollWidth <= 288)
  assert.ok(isWithin, 'nothing is cut off at the side')
  await picture(page, 'view-1024x768')
}

async function main() {
  const link = await start()
  const browser = await launch(GRAPHICS)
  const context = await browser.newContext({ viewport: { width: 1280, height: 800 } })
  const problems = []
  const page = await open(context, link, problems)
  const time = await page.evaluate(() => ({ slice_ms: Math.round(performance.getEntriesByName('slice-shown')[0].startTime) }))
  await page.waitForFunction(() => document.querySelectorAll('#cases .is-drawn').length === 2)
  await picture(page, 'view-1280x800')
  await layers(page)
  await tumors(page)
  await verdicts(page)
  await tablet(browser, await killed(page, context, problems), problems)
  assert.deepEqual(problems, [])
  await browser.close()
  console.log(JSON.stringify(time))
}

main()
  .catch((error) => {
    console.error(error)
    process.exitCode = 1
  })
  .finally(() => server?.kill('SIGKILL'))
  .finally(() => setTimeout(() => process.exit(), 500))
