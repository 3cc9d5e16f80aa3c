/** What the files for containers have to agree on with the program, with each other, and with the docs. */
import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { cpSync, mkdirSync, mkdtempSync, readFileSync, rmSync, statSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type TestContext, test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { variables } from '../../src/config.ts';

const ROOT = fileURLToPath(new URL('../..', import.meta.url));

function read(path: string): string {
  return readFileSync(join(ROOT, path), 'utf8');
}

function allOf(text: string, pattern: RegExp): string[] {
  return [...text.matchAll(pattern)].map((match) => match[1] ?? '');
}

test('the image has the Node that a clone starts itself with', () => {
  const { node } = JSON.parse(read('package.json')).dependencies;
  assert.deepEqual(allOf(read('Dockerfile'), /^ARG NODE_IMAGE=node:([\d.]+)-/gm), [node]);
});

test('every variable that the nodes are given is one that the program reads', () => {
  const block = /&node-environment\n([\s\S]*?)\n {2}depends_on:/.exec(read('docker-compose.yml'))?.[1] ?? '';
  const names = allOf(block, /^ {4}([A-Z0-9_]+):/gm);
  assert.ok(names.includes('DATABASE_URL'));
  assert.deepEqual(
    names.filter((name) => !(name in variables)),
    [],
  );
});

test('no secret has a default, and one command makes all of them', (t) => {
  const compose = read('docker-compose.yml');
  const secrets = new Set(allOf(compose, /\$\{([A-Z0-9_]*(?:PASSWORD|KEY|TOKEN|SECRET)[A-Z0-9_]*)/g));
  const required = new Set(allOf(compose, /\$\{([A-Z0-9_]+):\?/g));
  assert.deepEqual([...secrets].sort(), [...required].sort());

  const { folder, makeEnv } = copyOfMakeEnv(t);
  makeEnv();
  const env = readFileSync(join(folder, '.env'), 'utf8');
  assert.deepEqual(allOf(env, /^([A-Z0-9_]+)=/gm).sort(), [...required].sort());
  const values = allOf(env, /^[A-Z0-9_]+=([\w-]{18,})$/gm);
  assert.equal(new Set(values).size, required.size, 'each has a value of its own');
  assert.equal(statSync(join(folder, '.env')).mode & 0o077, 0, 'nobody else may read it');
  assert.throws(makeEnv, /is there already/);
  assert.equal(readFileSync(join(folder, '.env'), 'utf8'), env);
});

function copyOfMakeEnv(t: TestContext) {
  const folder = mkdtempSync(join(tmpdir(), 'tus-relay-make-env-'));
  t.after(() => rmSync(folder, { recursive: true, force: true }));
  mkdirSync(join(folder, 'deploy'));
  cpSync(join(ROOT, 'deploy/make-env.sh'), join(folder, 'deploy/make-env.sh'));
  const makeEnv = () => execFileSync('sh', [join(folder, 'deploy/make-env.sh')], { stdio: 'pipe' });
  return { folder, makeEnv };
}

test('the balancer forwards to the addresses that the nodes have, and they believe the one that it has', () => {
  const compose = read('docker-compose.yml');
  const addressOf = (service: string) =>
    new RegExp(`^ {2}${service}:\\n(?: {4,}.*\\n)*? +ipv4_address: (\\S+)$`, 'm').exec(compose)?.[1];
  const nodes = [addressOf('relay-1'), addressOf('relay-2')];
  const balancer = read('deploy/nginx.conf');
  assert.deepEqual(allOf(balancer, /^ +server ([\d.]+):8080 max_fails=1 /gm), nodes);
  assert.deepEqual(allOf(balancer, /^ +server ([\d.]+):8080 backup max_fails=0;/gm), nodes);
  assert.deepEqual(allOf(compose, /^ +TRUST_PROXY: (\S+)$/gm), [addressOf('balancer')]);
});

test('the balancer is set up as docs/nginx.md explains', () => {
  const settings = (text: string) =>
    allOf(text, /^ *((?:(?:proxy|client|keepalive|least)_(?!pass)|error_page|add_header|return (?!204))\S.*;)$/gm);
  const block = /```nginx\n([\s\S]*?)```/.exec(read('docs/nginx.md'))?.[1] ?? '';
  const explained = settings(block).map((line) => line.replace('$relay_prefix', '""'));
  assert.ok(explained.includes('proxy_request_buffering off;'));
  const used = settings(read('deploy/nginx.conf')).filter((line) => !line.includes('_temp_path'));
  assert.deepEqual(used, explained);
});

test('a container is given the time that a node gives itself to close', () => {
  const compose = read('docker-compose.yml');
  const drainSecs = Number(/DRAIN_SECS: "(\d+)"/.exec(compose)?.[1]);
  const graceSecs = Number(/x-node:[\s\S]*?stop_grace_period: (\d+)s/.exec(compose)?.[1]);
  assert.ok(graceSecs > drainSecs + 25, 'DRAIN_SECS, 20 s for closing, 5 s for workers');
});

test('what the image has compiled is not hidden by a mount, and a node may read it', () => {
  const dockerfile = read('Dockerfile');
  const cache = /^ENV NODE_COMPILE_CACHE=(\S+)$/m.exec(dockerfile)?.[1] ?? '';
  assert.ok(new RegExp(`mkdir .*${cache}.* && chown node:node .*${cache}`).test(dockerfile), cache);
  const compose = read('docker-compose.yml');
  const mounts = [...allOf(compose, /tmpfs: \["([^":]+)/g), ...allOf(compose, /volumes: \["[^":]+:([^":]+)/g), '/data'];
  assert.ok(mounts.includes('/tmp'));
  for (const mount of mounts) assert.ok(!`${cache}/`.startsWith(`${mount}/`), `${mount} hides ${cache}`);
});

test('no container fills the disk with its log, or takes all of the memory', () => {
  const compose = read('docker-compose.yml');
  const services = (/^services:\n([\s\S]*?)^\S/m.exec(compose)?.[1] ?? '').split(/^ {2}(?=\w)/m).slice(1);
  const node = /^x-node: &node\n([\s\S]*?)^services:/m.exec(compose)?.[1] ?? '';
  assert.deepEqual(
    services.map((service) => service.split(':')[0]),
    ['balancer', 'relay-1', 'relay-2', 'bucket', 'postgres', 'redis', 's3'],
  );
  for (const service of services) {
    const text = service.includes('<<: *node') ? `${node}${service}` : service;
    assert.match(text, /^ +logging: \*logging$/m, service);
    assert.match(text, /^ +mem_limit: \S+$/m, service);
    if (!service.startsWith('postgres')) assert.match(text, /^ +ulimits: \*nofile$/m, service);
  }
  assert.match(
    compose,
    /x-logging: &logging\n {2}driver: json-file\n {2}options: \{ max-size: \d+m, max-file: "\d+" \}/,
  );
  const files = Number(/nofile: \{ soft: (\d+), hard: \d+ \}/.exec(compose)?.[1]);
  const connections = Number(/worker_connections (\d+);/.exec(read('deploy/nginx.conf'))?.[1]);
  assert.ok(files >= 2 * connections, 'a connection to the client and one to the node');
});

test('the documented balancer listens for IPv4 and IPv6 alike', () => {
  const ports = allOf(read('docs/nginx.md'), /^ +listen ((?:\[::\]:)?\d+ .*);$/gm);
  assert.deepEqual(ports, [ports[0], `[::]:${ports[0]}`]);
});

test('a roll-out with compose takes one node after the other, and waits for it', () => {
  const guide = read('docs/operations.md');
  const nodes = allOf(read('docker-compose.yml'), /^ {2}(relay-\d+):$/gm);
  assert.ok(guide.includes(`for node in ${nodes.join(' ')}; do docker compose up -d --no-deps --wait "$node"; done`));
  assert.ok(guide.includes(`docker compose stop ${nodes.join(' ')}`), 'and a restore stops all of them');
});
