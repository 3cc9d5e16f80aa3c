import assert from 'node:assert/strict';
import { once } from 'node:events';
import { Agent, request, type ServerResponse } from 'node:http';
import { test } from 'node:test';
import { StartError } from '../../src/errors.ts';
import { listen } from '../../src/http/http-server.ts';

/** A server whose requests wait until the test answers them. */
async function listenAndHold(t: { after(work: () => unknown): void }) {
  const held = Promise.withResolvers<ServerResponse>();
  const server = await listen((_request, response) => held.resolve(response), '127.0.0.1', 0);
  t.after(() => server.close(0));
  return { server, port: server.address.port, held: held.promise };
}

test('a running request is answered before the server is closed, and its connection ends with it', async (t) => {
  const { server, port, held } = await listenAndHold(t);
  const agent = new Agent({ keepAlive: true });
  t.after(() => agent.destroy());
  const call = request({ port, agent }).end();
  const response = await held;
  const closed = server.close(60_000);
  response.end('done');
  const [answer] = await once(call, 'response');
  answer.resume();
  assert.equal(answer.statusCode, 200);
  assert.equal(await closed, true);
});

test('new connections are refused from the moment the server stops accepting', async (t) => {
  const { server, port, held } = await listenAndHold(t);
  const call = request({ port }).end();
  const response = await held;
  server.stopAccepting();
  const [error] = await once(request({ port }).end(), 'error');
  assert.equal(error.code, 'ECONNREFUSED');
  response.end();
  (await once(call, 'response'))[0].resume();
});

test('a request that outlasts the grace is cut', async (t) => {
  const { server, port, held } = await listenAndHold(t);
  const call = request({ port }).end();
  const cut = once(call, 'error');
  await held;
  assert.equal(await server.close(1), false);
  assert.equal((await cut)[0].code, 'ECONNRESET');
});

test('a port that is taken, and an address that is not ours, are told in one sentence', async (t) => {
  const { port } = await listenAndHold(t);
  const handler = () => {};
  await assert.rejects(listen(handler, '127.0.0.1', port), (error) => {
    assert.ok(error instanceof StartError);
    assert.match(error.message, new RegExp(`^port ${port} on 127\\.0\\.0\\.1 is already in use`));
    return true;
  });
  await assert.rejects(listen(handler, '203.0.113.1', 0), /^StartError: HOST 203\.0\.113\.1 is not an address of this/);
});
