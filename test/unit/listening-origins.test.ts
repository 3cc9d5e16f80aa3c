import assert from 'node:assert/strict';
import { test } from 'node:test';
import { originsOf } from '../../src/app/listening-origins.ts';

const rest = { netmask: '', mac: '', cidr: null };
const INTERFACES = {
  lo: [{ ...rest, address: '127.0.0.1', family: 'IPv4' as const, internal: true }],
  eth0: [
    { ...rest, address: '10.1.2.3', family: 'IPv4' as const, internal: false },
    { ...rest, address: '2001:db8::7', family: 'IPv6' as const, internal: false, scopeid: 0 },
    { ...rest, address: 'fe80::1', family: 'IPv6' as const, internal: false, scopeid: 2 },
  ],
};

test('a server that listens on every address names those that it can be reached at', () => {
  const at = (address: string, family: string) => originsOf({ address, family, port: 8080 }, INTERFACES);
  assert.deepEqual(at('0.0.0.0', 'IPv4'), ['http://127.0.0.1:8080', 'http://10.1.2.3:8080']);
  assert.deepEqual(at('::', 'IPv6'), ['http://127.0.0.1:8080', 'http://10.1.2.3:8080', 'http://[2001:db8::7]:8080']);
  assert.deepEqual(at('::1', 'IPv6'), ['http://[::1]:8080']);
  assert.deepEqual(at('127.0.0.1', 'IPv4'), ['http://127.0.0.1:8080']);
});
