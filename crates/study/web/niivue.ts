// NiiVue without what these pages never draw: it compiles its shaders when it starts, and computes gradients of each scan
// for renderings in 3-D. Where a browser draws in software, that is most of the time until the first slice.
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

/**
 * In place of the shader that fills a scan's texture, which knows colours, thresholds and layers: a window of greys. Over a scan of 80 million
 * voxels it is what takes longest.
 */
const GREYS = `precision highp int;
precision highp float;
in vec2 TexCoord;
out vec4 FragColor;
uniform float coordZ;
uniform float scl_slope;
uniform float scl_inter;
uniform float cal_min;
uniform float cal_max;
uniform mat4 mtx;
void main() {
  vec3 at = (vec4(TexCoord, coordZ, 1.0) * mtx).xyz;
  float hu = scl_slope * float(texture(intensityVol, at).r) + scl_inter;
  float grey = clamp((hu - cal_min) / max(cal_max - cal_min, 0.00001), 0.0, 1.0);
  FragColor = vec4(vec3(at == clamp(at, 0.0, 1.0) ? grey : 0.0), 1.0);
}`

/** Pattern, and what stands in its place. */
const EDITS: [RegExp, string][] = [
  ...NEVER_DRAWN.map((source): [RegExp, string] => [new RegExp(`new Shader\\((this\\.)?gl, \\w+, ${source}\\)`), NO_SHADER]),
  [/\.concat\(fragOrientShader\)/, `.concat(${JSON.stringify(GREYS)})`],
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
