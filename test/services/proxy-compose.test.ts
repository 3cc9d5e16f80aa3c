/** What docker-compose.yml describes, without containers: its environment, its bucket, its balancer's configuration. */
import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { once } from 'node:events';
import { readFileSync } from 'node:fs';
import { text } from 'node:stream/consumers';
import { test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { exchange } from '../support/http-exchange.ts';
import { startServerProcess } from '../support/server-process.ts';
import { startNginx } from '../support/services/start-nginx.ts';
import { startPostgres } from '../support/services/start-postgres.ts';
import { startRedis } from '../support/services/start-redis.ts';
import { startVersitygw } from '../support/services/start-versitygw.ts';
import { createUpload, head, patch } from '../support/tus-client.ts';

const ROOT = fileURLToPath(new URL('../..', import.meta.url));
const MIB = 1024 * 1024;
const REDIS_PASSWORD = 'redis-of-the-test';

const read = (path: string) => readFileSync(`${ROOT}${path}`, 'utf8');

/** The nodes' environment, with the variables of `.env` put in and the containers' names replaced. */
function nodeEnvironment(env: Record<string, string>, places: Record<string, string>): Record<string, string> {
  const block = /&node-environment\n([\s\S]*?)\n {2}depends_on:/.exec(read('docker-compose.yml'))?.[1] ?? '';
  const entries = [...block.matchAll(/^ {4}([A-Z0-9_]+): "?(.*?)"?$/gm)].map(([, name = '', written = '']) => {
    const filled = written.replace(/\$\{(\w+):(-|\?)([^}]*)\}/g, (_, variable: string, kind: string, rest: string) => {
      const value = env[variable] ?? (kind === '-' ? rest : null);
      if (value === null) throw new Error(`${variable} is not set: ${rest}`);
      return value;
    });
    const value = Object.entries(places).reduce((all, [there, here]) => all.replace(there, here), filled);
    return [name, value] as const;
  });
  return Object.fromEntries(entries);
}

/** What stands inside of `http { }`, for a test's port, folder and nodes. */
function balancer(port: number, nodes: readonly number[]): string {
  const http = /^http \{\n([\s\S]*)^\}/m.exec(read('deploy/nginx.conf'))?.[1] ?? '';
  return http
    .replace(/^ +(\w+_temp_path|access_log) .*\n/gm, '')
    .replaceAll('172.30.77.11:8080', `127.0.0.1:${nodes[0]}`)
    .replaceAll('172.30.77.12:8080', `127.0.0.1:${nodes[1]}`)
    .replace('listen 8080;', `listen 127.0.0.1:${port};`);
}

test('two nodes of docker-compose.yml behind its balancer continue each other’s uploads, and one may go', async (t) => {
  const s3 = await startVersitygw();
  if (s3 === null) return t.skip('versitygw is not installed');
  t.after(() => s3.stop());
  const postgres = await startPostgres();
  t.after(() => postgres.stop());
  await postgres.createDatabase('relay');
  const redis = await startRedis({ password: REDIS_PASSWORD });
  t.after(() => redis.stop());

  const env = nodeEnvironment(
    {
      ...{ POSTGRES_PASSWORD: 'not-asked-for', REDIS_PASSWORD, METRICS_TOKEN: 'metrics-of-the-test' },
      ...{ S3_ACCESS_KEY: s3.credentials.accessKeyId, S3_SECRET_KEY: s3.credentials.secretAccessKey },
    },
    {
      'postgres:5432': `127.0.0.1:${postgres.port}`,
      'redis:6379': `127.0.0.1:${redis.port}`,
      'http://s3:7070': s3.endpoint,
      '172.30.77.10': '127.0.0.1',
    },
  );
  const bootstrap = spawn(process.execPath, ['src/commands/s3-bootstrap.ts', '--create'], {
    ...{ cwd: ROOT, env: { PATH: process.env.PATH, ...env }, stdio: ['ignore', 'pipe', 'inherit'] },
  });
  const ended = once(bootstrap, 'exit');
  assert.match(await text(bootstrap.stdout as NonNullable<typeof bootstrap.stdout>), /uploads: created/);
  assert.deepEqual(await ended, [0, null]);

  const nodes = [await startServerProcess(t, { env }), await startServerProcess(t, { env })];
  const nginx = await startNginx((port) =>
    balancer(
      port,
      nodes.map((node) => node.port),
    ),
  );
  if (nginx === null) return t.skip('nginx is not installed');
  t.after(() => nginx.stop());
  assert.equal((await exchange(`${nginx.url}/balancer-health`, { method: 'GET' })).status, 204);

  const content = randomBytes(21 * MIB);
  const url = await createUpload(`${nginx.url}/files`, content.length);
  assert.ok(url.startsWith(`${nginx.url}/files/`), url);
  for (let offset = 0; offset < content.length; offset += 3 * MIB) {
    if (offset === 12 * MIB) assert.equal((await nodes[0]?.stop())?.code, 0);
    assert.equal((await patch(url, offset, content.subarray(offset, offset + 3 * MIB))).status, 204);
  }
  assert.equal((await head(url)).headers['upload-offset'], String(content.length));
  assert.ok((await exchange(url, { method: 'GET' })).body.equals(content));
});
