// GitHub's API, as far as GitHub's own document tells it: Prism stands in front of another server, and lets through
// only requests and answers that the document allows. Started as `node server.mjs UPSTREAM PATH…`, with paths as the
// document writes them. It says `listening on PORT`, and ends when its standard input ends. A request that is not in the
// document or breaks it is answered 404 or 422, and an answer that breaks it becomes a 500; both say what is wrong.

import { readFileSync } from 'node:fs'
import { createRequire } from 'node:module'

const require = createRequire(import.meta.url)
const { getHttpOperationsFromSpec } = require('@stoplight/prism-http')
const { createServer } = require('@stoplight/prism-http-server')

const [upstream, ...asked] = process.argv.slice(2)
const whole = JSON.parse(readFileSync(require.resolve('@octokit/openapi/generated/api.github.com.json')))

// Of its thousand paths and its components only those that are asked for: it takes seconds to resolve all of them.
const paths = Object.fromEntries(asked.map((path) => [path, { get: whole.paths[path].get }]))
const components = {}
const keep = (node) => {
  if (typeof node !== 'object' || node === null) return
  // It means nothing there (OpenAPI 3.0.3, Schema Object), and Prism would pass over the whole schema without a word.
  if (node.nullable === true && !node.type) delete node.nullable
  for (const [name, value] of Object.entries(node)) {
    const [, kind, component] = (name === '$ref' && /^#\/components\/(\w+)\/([^/]+)/.exec(value)) || []
    if (!kind) keep(value)
    else if (!components[kind]?.[component]) {
      ;(components[kind] ??= {})[component] = whole.components[kind][component]
      keep(whole.components[kind][component])
    }
  }
}
keep(paths)

const document = { openapi: whole.openapi, info: whole.info, paths, components }

const quiet = () => {}
const logger = { trace: quiet, debug: quiet, info: quiet, warn: quiet, error: quiet, success: quiet, child: () => logger }

const server = createServer(await getHttpOperationsFromSpec(document), {
  cors: false,
  components: { logger },
  config: {
    isProxy: true,
    upstream: new URL(upstream),
    upstreamProxy: undefined,
    checkSecurity: false,
    validateRequest: true,
    validateResponse: true,
    errors: true,
    mock: { dynamic: false },
  },
})
const address = await server.listen(0, '127.0.0.1')
console.log(`listening on ${new URL(address).port}`)

for await (const _ of process.stdin);
process.exit(0)
