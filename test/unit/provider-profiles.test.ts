import assert from 'node:assert/strict';
import { test } from 'node:test';
import { addressesByPath, PROVIDER_NAMES, providerProfile } from '../../src/provider-profiles.ts';

test('no profile allows more parts than S3 itself, and each leaves room for a terabyte in the parts that we grow', () => {
  const largestPartBytes = 5 * 1024 ** 3;
  for (const name of PROVIDER_NAMES) {
    const { maxParts } = providerProfile(name);
    assert.ok(maxParts >= 1 && maxParts <= 10_000, name);
    assert.ok(maxParts * largestPartBytes >= 1024 ** 4, name);
  }
});

test('Scaleway takes a thousand parts', () => {
  assert.equal(providerProfile('scaleway').maxParts, 1_000);
});

test('a service whose addressing we do not know is addressed by path exactly when it has an endpoint', () => {
  for (const name of PROVIDER_NAMES.filter((it) => providerProfile(it).forcePathStyle === null)) {
    assert.equal(addressesByPath(providerProfile(name), true), true, name);
    assert.equal(addressesByPath(providerProfile(name), false), false, name);
  }
});
