// An authorization server on loopback, and an API that takes its tokens: `oidc-provider`, which the OpenID Foundation
// has certified. It says `listening on PORT`, then a line with a refresh token for the client `refreshing`. Each refresh
// token is good for one trade; a second use of one revokes them all. Told `forget` on standard input, it revokes every
// access token and says `forgot`. It ends when its standard input ends.
//
// Its clients and their secrets are made up.

import { createServer } from 'node:http'
import { createInterface } from 'node:readline'
import Provider from 'oidc-provider'

const server = createServer()
await new Promise((resolve) => server.listen(0, '127.0.0.1', resolve))
const { port } = server.address()

const secret = 'made-up-client-secret-0123'
const provider = new Provider(`http://127.0.0.1:${port}`, {
  clients: [
    {
      client_id: 'machine',
      client_secret: secret,
      grant_types: ['client_credentials'],
      redirect_uris: [],
      response_types: [],
      scope: 'contacts.read',
    },
    {
      client_id: 'refreshing',
      client_secret: secret,
      grant_types: ['authorization_code', 'refresh_token'],
      redirect_uris: ['https://client.acme.example/callback'],
      response_types: ['code'],
    },
  ],
  scopes: ['openid', 'offline_access', 'contacts.read'],
  features: { clientCredentials: { enabled: true }, devInteractions: { enabled: false } },
  rotateRefreshToken: true,
  ttl: { AccessToken: 600, ClientCredentials: 600, RefreshToken: 3600, Grant: 3600 },
  findAccount: (_, sub) => ({ accountId: sub, claims: () => ({ sub }) }),
  cookies: { keys: ['made-up-cookie-key'] },
})

const issued = new Set()
provider.on('access_token.saved', (token) => issued.add(token))
provider.on('client_credentials.saved', (token) => issued.add(token))

// The API: `/v2/whoami` says whose token it was shown.
provider.use(async (ctx, next) => {
  if (!ctx.path.startsWith('/v2/')) return next()
  const value = (ctx.get('authorization') || '').replace(/^Bearer /, '')
  const token = value && ((await provider.AccessToken.find(value)) || (await provider.ClientCredentials.find(value)))
  ctx.status = token ? 200 : 401
  ctx.body = token ? { client: token.clientId, scope: token.scope } : { error: 'who are you' }
})

server.on('request', provider.callback())

const client = await provider.Client.find('refreshing')
const grant = new provider.Grant({ accountId: 'somebody', clientId: client.clientId })
grant.addOIDCScope('offline_access')
const refresh = new provider.RefreshToken({
  accountId: 'somebody',
  client,
  grantId: await grant.save(),
  gty: 'authorization_code',
  scope: 'offline_access',
})
console.log(`listening on ${port}`)
console.log(await refresh.save())

for await (const line of createInterface({ input: process.stdin })) {
  if (line !== 'forget') continue
  for (const token of issued) await token.destroy()
  issued.clear()
  console.log('forgot')
}
process.exit(0)
