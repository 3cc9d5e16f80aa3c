/** docs/nginx.md, run as it is written. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { freePort } from '../support/services/free-port.ts';
import { TUS } from '../support/tus-client.ts';
import { startDocumentedNginx } from './support/documented-nginx.ts';
import { HOST_NAME, holdsBehindProxy, ProxyClient } from './support/proxy-suite.ts';
import { selfSigned } from './support/self-signed.ts';

test('behind nginx', (t) => holdsBehindProxy(t, startDocumentedNginx));

test('with no node up, nginx tells clients to come again: none takes its upload for gone', async (t) => {
  const certificate = await selfSigned(t, HOST_NAME);
  const nodes = [`127.0.0.1:${await freePort()}`, `127.0.0.1:${await freePort()}`] as const;
  const nginx = await startDocumentedNginx({ nodes, certificate });
  if (nginx === null) return t.skip('nginx is not installed');
  t.after(() => nginx.stop());
  const client = new ProxyClient(nginx.port, certificate.pem);
  const url = `${client.origin}/files/0b6c5a5e-0000-4000-8000-000000000000`;
  const body = Buffer.alloc(100_000);
  // The second time both of them are known to be away.
  for (let attempt = 0; attempt < 2; attempt++) {
    for (const [method, sent, status] of [
      ['HEAD', {}, 423],
      ['PATCH', { body }, 503],
      ['POST', {}, 503],
    ] as const) {
      const answer = await client.send(url, { method, headers: TUS, ...sent });
      assert.deepEqual([answer.status, answer.headers['retry-after']], [status, '1'], method);
    }
  }
});
