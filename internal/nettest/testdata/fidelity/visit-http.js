// Visits an origin with node:http and node:https: visit-http.js SCHEME HOST
const crypto = require('crypto')
const [scheme, host] = process.argv.slice(2)
const web = require(scheme)
const say = (scenario, ...what) => console.log(scenario, what.map(w => typeof w === 'string' ? w : JSON.stringify(w)).join(' '))
const digest = body => [body.length, crypto.createHash('sha256').update(body).digest('hex').slice(0, 8)]

// exchange asks once. feed writes the request's body, taste is given the
// response instead of reading it.
function exchange(agent, scenario, answer, { method = 'GET', headers = {}, feed, taste, ...more } = {}) {
  return new Promise(done => {
    const req = web.request({ host, agent, path: `/${scenario}/${answer}`, method, headers, timeout: 60000, ...more })
    let answered = false // then the response tells what fails
    const failed = e => { if (!answered) { say(scenario, e.code || e.message); done() } }
    req.on('error', failed)
    req.on('continue', () => say(scenario, 'continue'))
    req.on('information', i => say(scenario, 'interim', i.statusCode, i.rawHeaders))
    req.on('response', r => {
      answered = true
      say(scenario, r.httpVersion, r.statusCode, r.statusMessage, r.rawHeaders)
      if (taste) {
        r.on('error', () => {})
        req.on('close', done)
        return taste(req, r)
      }
      const parts = []
      r.on('data', part => parts.push(part))
      r.on('error', e => { say(scenario, e.code || e.message, digest(Buffer.concat(parts))); done() })
      r.on('end', () => { say(scenario, digest(Buffer.concat(parts)), r.rawTrailers); done() })
    })
    if (feed) feed(req)
    else req.end()
  })
}

async function once(scenario, answer, how) {
  await exchange(false, scenario, answer, how)
}

async function main() {
  for (const answer of ['get', 'chunked', 'trailers', 'gzip', 'large', 'none', 'unmodified', 'hints', 'error']) await once(answer, answer)
  for (const answer of ['close', 'until-close', 'until-cut', 'finish', 'cut', 'reset', 'hang-up', 'vanish']) await once(answer, answer)
  await once('head', 'get', { method: 'HEAD' })
  await once('post', 'post', { method: 'POST', feed: req => req.end('a=1&b=2') })
  await once('chunked-post', 'post', { method: 'POST', headers: { Trailer: 'x-Sum' }, feed: req => {
    req.write('abc', () => req.write('defg', () => req.write('h'.repeat(100000), () => {
      req.addTrailers({ 'x-Sum': '1' })
      req.end()
    })))
  } })
  await once('large-post', 'post', { method: 'PUT', headers: { 'content-LENGTH': 1 << 20 }, feed: req => req.end('0123456789abcdef'.repeat(1 << 16)) })
  await once('continue', 'post', { method: 'POST', headers: { Expect: '100-continue', 'Content-Length': 3 }, feed: req => {
    req.on('continue', () => req.end('abc'))
    req.flushHeaders()
  } })
  await once('refuse', 'refuse', { method: 'POST', headers: { Expect: '100-continue', 'Content-Length': 3 }, feed: req => {
    req.on('response', () => req.destroy())
    req.flushHeaders()
  }, taste: () => {} })
  await once('odd', 'get?%7e|', { method: 'MKCOL', setHost: false, headers: [['x-oDD', '1'], ['HOST', 'Shop.Example'], ['X-odd', '2'], ['X-Empty', ''], ['x-oDD', '3']].flat() })

  const agent = new web.Agent({ keepAlive: true, maxSockets: 1 })
  for (const answer of ['get', 'chunked', 'none', 'gzip', 'close', 'get']) await exchange(agent, 'sequential', answer)
  agent.destroy()
  const many = new web.Agent({ keepAlive: true })
  await Promise.all([1, 2, 3, 4].map(() => exchange(many, 'parallel', 'meet')))
  many.destroy()

  for (const answer of ['stall', 'flood']) await once(answer, answer, { taste: req => req.destroy() })
  await once('early', 'early', { method: 'POST', headers: { 'Transfer-Encoding': 'chunked' }, feed: req => req.write('0123456789'), taste: req => req.destroy() })
  if (scheme === 'http') {
    await once('early-rst', 'early', { method: 'POST', headers: { 'Transfer-Encoding': 'chunked' }, feed: req => req.write('0123456789'), taste: req => req.socket.resetAndDestroy() })
    await once('stall-rst', 'stall', { taste: req => req.socket.resetAndDestroy() })
  }
}
main()
