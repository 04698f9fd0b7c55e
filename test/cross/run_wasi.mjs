// Run a WASI program: node run_wasi.mjs PROGRAM ARGUMENTS…, with every file of this machine in its sight.
import fs from 'node:fs'
import { WASI } from 'node:wasi'

const wasi = new WASI({ version: 'preview1', args: process.argv.slice(2), preopens: { '/': '/' } })
const program = new WebAssembly.Module(fs.readFileSync(process.argv[2]))
process.exit(wasi.start(new WebAssembly.Instance(program, wasi.getImportObject())))
