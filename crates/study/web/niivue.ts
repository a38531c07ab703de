// NiiVue without what these pages never draw: it compiles fifty shaders when it starts, of which they use eight, and computes gradients of
// each scan for renderings in 3-D. In software that is a second and more.
import type { Plugin } from 'vite'

/** Shaders of renderings, meshes, drawing tools and colour images, by the name of their source. */
const NEVER_DRAWN = [
  'fragRenderShader',
  'fragRenderSliceShader',
  'fragRenderGradientShader',
  'fragRenderGradientValuesShader',
  'fragVolumePickingShader',
  'fragMeshDepthShader',
  'fragFlatMeshShader',
  'm\\.Frag',
  'fragFiberShader',
  'fragOrientCubeShader',
  'fragColorbarShader',
  'fragBmpShader',
  'fragSlice2DShader',
  'fragSliceV1Shader',
  'fragGrowCutShader',
  'blurFragShader',
  'gradientPrePassFragShader',
  'sobelFirstOrderFragShader',
  'sobelSecondOrderFragShader',
  'fragOrientShaderU\\.concat\\(fragOrientShaderAtlas\\)',
  'fragOrientShaderI\\.concat\\(fragOrientShaderAtlas\\)',
  'fragOrientShaderU\\.concat\\(fragRGBOrientShader\\)',
  'fragOrientShaderU\\.concat\\(fragPAQDOrientShader\\)',
]

/** Has no program: WebGL takes no heed of uniforms of none. */
const NO_SHADER = '{ program: null, uniforms: {}, use() {} }'

/** Pattern, and what stands in its place. */
const EDITS: [RegExp, string][] = [
  ...NEVER_DRAWN.map((source): [RegExp, string] => [new RegExp(`new Shader\\((this\\.)?gl, \\w+, ${source}\\)`), NO_SHADER]),
  [/function gradientGL\(params\) \{/, '$& return params.gradientTexture;'],
  // Asked of programs that are not there.
  [/gl\.getUniformLocation\(shader\.program, "[^"]+"\)/, 'null'],
]

/** Fails where NiiVue is not as it was when this was written. */
export function leanNiivue(): Plugin {
  return {
    name: 'lean-niivue',
    enforce: 'pre',
    transform(code, id) {
      if (!id.endsWith('@niivue/niivue/build/niivue/index.js')) return null
      let edited = code
      for (const [pattern, instead] of EDITS) {
        if (!pattern.test(edited)) this.error(`NiiVue has changed: it has no ${pattern}`)
        edited = edited.replaceAll(new RegExp(pattern, 'g'), instead)
      }
      return { code: edited, map: null }
    },
  }
}
