import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Readiness, type ServiceCheck } from '../../src/http/health.ts';
import { serveApp } from '../support/serve-app.ts';

const up: ServiceCheck = { name: 'database', check: async () => {} };

test('a node whose services answer is ready', async (t) => {
  const { url } = await serveApp(t, { readiness: new Readiness([up]) });
  const response = await fetch(`${url}/readyz`);
  assert.equal(response.status, 200);
  assert.deepEqual(await response.json(), { ready: true, draining: false, down: [] });
});

test('readyz names the services that fail, throw or do not answer; livez does not care', async (t) => {
  const silent: ServiceCheck = { name: 'storage', check: () => new Promise(() => {}) };
  const throwing: ServiceCheck = {
    name: 'database',
    check: () => {
      throw new Error('no');
    },
  };
  const { url } = await serveApp(t, { readiness: new Readiness([throwing, silent], 1) });
  const response = await fetch(`${url}/readyz`);
  assert.equal(response.status, 503);
  assert.deepEqual(await response.json(), { ready: false, draining: false, down: ['database', 'storage'] });
  assert.equal((await fetch(`${url}/livez`)).status, 200);
});

test('a node that is shutting down is not ready, and keeps no connection open', async (t) => {
  const readiness = new Readiness([up]);
  const { url } = await serveApp(t, { readiness });
  readiness.startDraining();
  const response = await fetch(`${url}/readyz`);
  assert.equal(response.status, 503);
  assert.equal(response.headers.get('connection'), 'close');
  assert.deepEqual(await response.json(), { ready: false, draining: true, down: [] });
});

test('probes that come within a second are answered from one look', async () => {
  let looks = 0;
  let nowMs = 0;
  const counted: ServiceCheck = { name: 'database', check: async () => void looks++ };
  const readiness = new Readiness([counted], 1_000, () => nowMs);
  await Promise.all([readiness.report(), readiness.report()]);
  nowMs = 999;
  await readiness.report();
  assert.equal(looks, 1);
  nowMs = 1_000;
  await readiness.report();
  assert.equal(looks, 2);
});

test('the check of a service that hangs is told to stop', async () => {
  const told = Promise.withResolvers<void>();
  const hanging: ServiceCheck = {
    name: 'storage',
    check: (signal) => new Promise(() => signal.addEventListener('abort', () => told.resolve())),
  };
  const report = await new Readiness([hanging], 1).report();
  assert.deepEqual(report.down, ['storage']);
  await told.promise;
});
