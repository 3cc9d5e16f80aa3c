import assert from 'node:assert/strict';
import { networkInterfaces } from 'node:os';
import { type TestContext, test } from 'node:test';
import express from 'express';
import { handleErrors } from '../../src/http/error-response.ts';
import { listen } from '../../src/http/http-server.ts';
import { type MetricsAccess, tellMetrics } from '../../src/http/metrics-route.ts';
import { createLogger } from '../../src/observability/logger.ts';

const TOKEN = 'a-token-of-32-characters-for-tests';

const source = { contentType: 'text/plain; version=0.0.4', metrics: async () => 'answers_total 42\n' };

/** @returns the port; every address of the machine is listened on */
async function serve(t: TestContext, access: MetricsAccess): Promise<number> {
  const app = express();
  app.get('/metrics', tellMetrics(source, access));
  app.use(handleErrors(createLogger('silent')));
  const server = await listen(app, '0.0.0.0', 0);
  t.after(() => server.close(0));
  return server.address.port;
}

async function ask(host: string, port: number, headers: Record<string, string> = {}) {
  const response = await fetch(`http://${host}:${port}/metrics`, { headers });
  return { status: response.status, type: response.headers.get('content-type'), text: await response.text() };
}

test('without a token, a program on this machine reads them', async (t) => {
  const port = await serve(t, { token: null, behindProxy: false });
  assert.deepEqual(await ask('127.0.0.1', port), {
    ...{ status: 200, type: 'text/plain; version=0.0.4' },
    text: 'answers_total 42\n',
  });
});

test('without a token, whoever comes over the network is refused', async (t) => {
  const outside = Object.values(networkInterfaces()).flatMap((addresses) => addresses ?? []);
  const address = outside.find((it) => it.family === 'IPv4' && !it.internal)?.address;
  if (address === undefined) return t.skip('this machine has no address but the loopback');
  const port = await serve(t, { token: null, behindProxy: false });
  const answer = await ask(address, port);
  assert.equal(answer.status, 403);
  assert.doesNotMatch(answer.text, /answers_total/);
  assert.equal((await ask(address, port, { 'X-Forwarded-For': '127.0.0.1' })).status, 403);
});

for (const name of ['Forwarded', 'X-Forwarded-For', 'X-Real-IP', 'Via']) {
  test(`without a token, what a proxy on this machine hands on with ${name} is refused`, async (t) => {
    const port = await serve(t, { token: null, behindProxy: false });
    assert.equal((await ask('127.0.0.1', port, { [name]: '127.0.0.1' })).status, 403);
  });
}

test('without a token, nobody reads them while there is a proxy in front', async (t) => {
  const port = await serve(t, { token: null, behindProxy: true });
  assert.equal((await ask('127.0.0.1', port)).status, 403);
});

test('with a token, exactly who sends it reads them, wherever they come from', async (t) => {
  const port = await serve(t, { token: TOKEN, behindProxy: true });
  assert.equal((await ask('127.0.0.1', port, { Authorization: `Bearer ${TOKEN}` })).status, 200);
  const forwarded = { Authorization: `Bearer ${TOKEN}`, 'X-Forwarded-For': '203.0.113.9' };
  assert.equal((await ask('127.0.0.1', port, forwarded)).status, 200);
  for (const authorization of ['', `Bearer ${TOKEN}x`, TOKEN, 'Bearer ', `Basic ${TOKEN}`]) {
    const answer = await ask('127.0.0.1', port, { Authorization: authorization });
    assert.equal(answer.status, 403, authorization);
    assert.ok(!answer.text.includes(TOKEN));
  }
});
