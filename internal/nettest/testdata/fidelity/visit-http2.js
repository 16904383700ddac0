// Visits an origin with node:http2: visit-http2.js SCHEME HOST
const crypto = require('crypto'), http2 = require('http2')
const [scheme, host] = process.argv.slice(2)
const say = (scenario, ...what) => console.log(scenario, what.map(w => typeof w === 'string' ? w : JSON.stringify(w)).join(' '))

function connect(options) {
  const session = http2.connect(`${scheme}://${host}`, options)
  session.on('error', () => {}) // the streams tell
  return session
}

const ended = session => new Promise(done => session.on('close', done))

// exchange asks once. feed writes the request's body, taste is given the stream
// once the response has begun.
function exchange(session, scenario, answer, headers = {}, { feed, taste, ...options } = {}) {
  return new Promise(done => {
    const stream = session.request({ ':path': `/${scenario}/${answer}`, ...headers }, options)
    const parts = []
    stream.on('continue', () => say(scenario, 'continue'))
    stream.on('headers', h => say(scenario, 'interim', h))
    stream.on('trailers', h => say(scenario, 'trailers', h))
    stream.on('response', (h, flags, raw) => {
      say(scenario, raw)
      if (taste) taste(stream)
    })
    stream.on('data', part => parts.push(part))
    stream.on('error', e => say(scenario, e.code))
    stream.on('close', () => {
      const body = Buffer.concat(parts)
      say(scenario, 'closed', stream.rstCode, taste ? 0 : body.length, taste ? 0 : crypto.createHash('sha256').update(body).digest('hex').slice(0, 8))
      done()
    })
    if (feed) feed(stream)
    else stream.end()
  })
}

async function once(scenario, answer, headers, how) {
  const session = connect()
  const end = ended(session)
  await exchange(session, scenario, answer, headers, how)
  session.close()
  await end
}

async function main() {
  for (const answer of ['get', 'chunked', 'trailers', 'gzip', 'large', 'none', 'unmodified', 'hints', 'error']) await once(answer, answer)
  for (const answer of ['finish', 'reset', 'vanish', 'refused', 'go-away', 'abandon']) await once(answer, answer)
  await once('head', 'get', { ':method': 'HEAD' })
  await once('post', 'post', { ':method': 'POST', 'content-length': 7 }, { feed: s => s.end('a=1&b=2') })
  await once('streamed-post', 'post', { ':method': 'POST', te: 'trailers' }, { waitForTrailers: true, feed: s => {
    s.on('wantTrailers', () => s.sendTrailers({ 'x-sum': '1', 'x-More': '2' }))
    s.write('abc', () => s.write('defg', () => s.end('h'.repeat(100000))))
  } })
  await once('large-post', 'post', { ':method': 'PUT' }, { feed: s => s.end('0123456789abcdef'.repeat(1 << 16)) })
  await once('continue', 'post', { ':method': 'POST', expect: '100-continue' }, { feed: s => s.on('continue', () => s.end('abc')) })
  await once('odd', 'get?%7e|', { ':method': 'oDD', ':authority': 'Shop.Example', ':scheme': scheme, 'X-odd': ['1', '2'], cookie: ['a=1', 'b=2'], 'x-empty': '', [http2.sensitiveHeaders]: ['x-odd'] })
  await once('priority', 'get', {}, { weight: 33, exclusive: true })

  const settings = connect({ settings: { enablePush: false, initialWindowSize: 123456, maxFrameSize: 32768, headerTableSize: 1000, maxConcurrentStreams: 7, maxHeaderListSize: 50000 } })
  const settled = ended(settings)
  for (const answer of ['get', 'cookie', 'gzip', 'large', 'none', 'get']) await exchange(settings, 'sequential', answer, { authorization: 'secret', 'x-long': 'long'.repeat(50) })
  settings.close()
  await settled

  const many = connect(), over = ended(many)
  await Promise.all([1, 2, 3, 4].map(() => exchange(many, 'parallel', 'meet')))
  many.close()
  await over

  for (const answer of ['stall', 'flood']) await once(answer, answer, {}, { taste: s => s.close(http2.constants.NGHTTP2_CANCEL) })
  await once('early', 'early', { ':method': 'POST' }, { feed: s => s.write('0123456789'), taste: s => s.close(http2.constants.NGHTTP2_ENHANCE_YOUR_CALM) })

  const destroyed = connect(), done = ended(destroyed)
  exchange(destroyed, 'destroyed', 'stall', {}, { taste: () => destroyed.destroy(undefined, http2.constants.NGHTTP2_INADEQUATE_SECURITY) })
  await done
  if (scheme === 'http') return
}
main()
