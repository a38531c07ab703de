// Labels and tumors as one mask: tumors over labels.
import { Refused } from './api'
import type { Colours, Scan } from './viewer'

const LABEL_COLOURS = [[90, 140, 190], [120, 165, 110], [165, 120, 175], [95, 165, 165], [180, 160, 100]] as const
const TUMOR_COLOUR = [255, 150, 40] as const

/** The value of tumors in the mask; labels have the others, over and over. */
const TUMOR = 255

/** Organs are large: a light tint shows where they are. */
const LABEL_SHARE = 90

/** From value 0 on, which is seen through. */
export const COLOURS: Colours = Array.from({ length: TUMOR + 1 }, (_, value) => {
  if (value === 0) return [0, 0, 0, 0]
  if (value === TUMOR) return [...TUMOR_COLOUR, 255]
  return [...LABEL_COLOURS[(value - 1) % LABEL_COLOURS.length], LABEL_SHARE]
})

/** Throws Refused where the two are not on one grid. */
export function combine(labels: Scan | null, tumors: Scan | null): { like: Scan; values: Uint8Array } | null {
  const like = labels ?? tumors
  if (!like) return null
  if (labels && tumors && grid(labels) !== grid(tumors)) throw new Refused('The labels and the tumors are on different grids.')
  const values = new Uint8Array(like.nVox3D!)
  for (let i = 0; i < values.length; i++) {
    const label = labels ? labels.img![i] : 0
    if (tumors && tumors.img![i] > 0) values[i] = TUMOR
    else if (label > 0) values[i] = 1 + ((label - 1) % (TUMOR - 1))
  }
  return { like, values }
}

function grid(scan: Scan): string {
  return JSON.stringify([scan.hdr!.dims.slice(1, 4), scan.permRAS])
}
