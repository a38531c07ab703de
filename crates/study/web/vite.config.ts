// Builds the page into ../assets, which is committed: the program builds without npm.
import { readFileSync, readdirSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { defineConfig, type Plugin } from 'vite'
import { leanNiivue } from './niivue'

const here = dirname(new URL(import.meta.url).pathname)

/** `LICENSES.txt`: the licence of each package that has code in the bundle, in the order of names. */
function licences(): Plugin {
  return {
    name: 'licences',
    generateBundle(_options, bundle) {
      const folders = new Set<string>()
      for (const chunk of Object.values(bundle)) {
        if (chunk.type !== 'chunk') continue
        for (const id of chunk.moduleIds) {
          const found = /^(.*\/node_modules\/(?:@[^/]+\/)?[^/]+)\//.exec(id.replace('\0', ''))
          if (found) folders.add(found[1])
        }
      }
      const texts = [...folders].map(licenceOf).sort()
      this.emitFile({ type: 'asset', fileName: 'LICENSES.txt', source: texts.join('\n' + '-'.repeat(80) + '\n\n') })
    },
  }
}

function licenceOf(folder: string): string {
  const about = JSON.parse(readFileSync(join(folder, 'package.json'), 'utf8'))
  const name = readdirSync(folder).find((file) => /^licen[cs]e/i.test(file))
  // Packages without the file: web/licences holds the text from their repository.
  const own = join(here, 'licences', about.name.replace('/', '_') + '.txt')
  const text = readFileSync(name ? join(folder, name) : own, 'utf8')
  return `${about.name} ${about.version} (${about.license})\n\n${text.trim()}\n`
}

export default defineConfig({
  base: '/assets/',
  plugins: [leanNiivue(), licences()],
  // NiiVue reads Zarr too, with decoders of a megabyte; studies hold NIfTI alone.
  resolve: { alias: { zarrita: join(here, 'src/no-zarr.ts') } },
  build: {
    outDir: '../assets',
    emptyOutDir: true,
    assetsDir: '',
    target: 'es2022',
    modulePreload: false,
    chunkSizeWarningLimit: 2500,
    rollupOptions: {
      input: { page: 'page.html', start: 'start.html', view: 'view.html' },
      output: { entryFileNames: '[name].js', chunkFileNames: '[name].js', assetFileNames: '[name][extname]' },
    },
  },
})
