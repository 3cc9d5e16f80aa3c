import assert from 'node:assert/strict';
import { test } from 'node:test';
import { isLoopbackOnly } from '../../src/http/host-guard.ts';
import { isLoopbackName } from '../../src/http/loopback.ts';

const ours = [
  'localhost',
  'localhost.',
  'app.localhost',
  '127.0.0.1',
  '127.255.0.9',
  '::1',
  '[::1]',
  '[::ffff:7f00:1]',
];
const others = [
  '',
  'notlocalhost',
  'localhost.evil.example',
  '127.0.0.1.evil.example',
  '128.0.0.1',
  '0.0.0.0',
  '[::]',
  '[::2]',
  '192.168.1.5',
];

test('names by which a machine reaches itself are told from those that an attacker could own', () => {
  assert.deepEqual(ours.filter(isLoopbackName), ours);
  assert.deepEqual(others.filter(isLoopbackName), []);
});

test('a server that listens on a loopback address, by whatever name, is for this machine only', async () => {
  for (const host of ['127.0.0.1', '::1', 'localhost', 'LOCALHOST']) assert.ok(await isLoopbackOnly(host), host);
  for (const host of ['0.0.0.0', '::', '192.0.2.1']) assert.equal(await isLoopbackOnly(host), false, host);
});
