// Visits an origin with Node's fetch: visit-fetch.js SCHEME HOST
const crypto = require('crypto')
const [scheme, host] = process.argv.slice(2)

async function exchange(scenario, answer, how = {}) {
  try {
    const r = await fetch(`${scheme}://${host}/${scenario}/${answer}`, how)
    if (how.taste) return await how.taste(r)
    const body = Buffer.from(await r.arrayBuffer())
    console.log(scenario, r.status, r.statusText, r.url, r.redirected, JSON.stringify([...r.headers]), body.length,
      crypto.createHash('sha256').update(body).digest('hex').slice(0, 8))
  } catch (e) {
    console.log(scenario, e.name, e.message, e.cause ? e.cause.code || e.cause.message : '')
  }
}

async function main() {
  const leave = new AbortController()
  await exchange('sequential', 'get')
  await exchange('sequential', 'post', { method: 'POST', body: 'a=1&b=2' })
  await exchange('sequential', 'post', { method: 'POST', body: new URLSearchParams({ a: 1, b: 2 }), headers: [['x-oDD', '1'], ['X-odd', '2'], ['x-oDD', '3']] })
  await exchange('sequential', 'get', { method: 'HEAD' })
  await exchange('sequential', 'chunked')
  await exchange('sequential', 'trailers')
  await exchange('sequential', 'gzip')
  await exchange('sequential', 'large')
  await exchange('sequential', 'redirect')
  await exchange('sequential', 'none')
  await exchange('sequential', 'hints')
  await exchange('sequential', 'error')
  await exchange('sequential', 'post', { method: 'PUT', body: '0123456789abcdef'.repeat(1 << 16) })
  await exchange('sequential', 'post', { method: 'POST', duplex: 'half', body: new ReadableStream({
    pull(c) {
      this.n = (this.n || 0) + 1
      if (this.n > 3) c.close()
      else c.enqueue(new TextEncoder().encode('part ' + this.n))
    },
  }) })
  await exchange('sequential', 'close')
  await exchange('until-close', 'until-close')
  await exchange('until-cut', 'until-cut')
  for (const answer of ['finish', 'cut', 'reset', 'hang-up', 'vanish']) await exchange(answer, answer)
  await exchange('stall', 'stall', { signal: leave.signal, taste: r => { console.log('stall', r.status); leave.abort() } })
  const again = new AbortController()
  await exchange('flood', 'flood', { signal: again.signal, taste: r => { console.log('flood', r.status); again.abort() } })
  await Promise.all([1, 2, 3, 4].map(() => exchange('parallel', 'meet')))
}
main().then(() => process.exit(0))
