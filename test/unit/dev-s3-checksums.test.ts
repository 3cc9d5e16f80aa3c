import assert from 'node:assert/strict';
import { test } from 'node:test';
import * as fc from 'fast-check';
import { type ChecksumAlgorithm, checkedValue, compositeChecksum, startChecksum } from '../../src/dev-s3/checksums.ts';
import { combineChecksums } from '../../src/dev-s3/crc-combine.ts';

/** "Check" values of the CRC catalogue: of the nine digits 1 to 9. */
const CHECK: Readonly<Record<ChecksumAlgorithm, string>> = {
  CRC32: 'cbf43926',
  CRC32C: 'e3069283',
  CRC64NVME: 'ae8b14860a799888',
  SHA1: 'f7c3bc1d808e04732adf679965ccc34ca7ae3441',
  SHA256: '15e2b0d3c33891ebb0f1ef609ec419420c20e320ce94c65fbc8c3312448eb225',
};

for (const [algorithm, hex] of Object.entries(CHECK) as [ChecksumAlgorithm, string][]) {
  test(`${algorithm} of the catalogue's digits, in one piece and in nine`, () => {
    for (const pieces of [['123456789'], [...'123456789']]) {
      assert.equal(
        checksumOf(
          algorithm,
          pieces.map((piece) => Buffer.from(piece)),
        ),
        base64(hex),
      );
    }
  });
}

for (const algorithm of ['CRC32', 'CRC32C', 'CRC64NVME'] as const) {
  test(`the combined ${algorithm} of parts is that of the whole, whatever the parts are`, () => {
    fc.assert(
      fc.property(fc.array(fc.uint8Array({ maxLength: 3_000 }), { minLength: 1, maxLength: 6 }), (parts) => {
        const values = parts.map((part) => ({ value: checksumOf(algorithm, [part]), bytes: part.length }));
        assert.equal(combineChecksums(algorithm, values).value, checksumOf(algorithm, parts));
      }),
      { numRuns: 60 },
    );
  });
}

test('a composite checksum is one of checksums, with their number behind it', () => {
  const [one, two] = ['one', 'two'].map((text) => checksumOf('SHA256', [Buffer.from(text)]));
  const digests = [one, two].map((value) => Buffer.from(value ?? '', 'base64'));
  assert.equal(compositeChecksum('SHA256', [one ?? '', two ?? '']).value, `${checksumOf('SHA256', digests)}-2`);
});

test('what cannot be a digest of the algorithm is refused', () => {
  assert.deepEqual(checkedValue('CRC32', 'AAAAAA=='), { algorithm: 'CRC32', value: 'AAAAAA==' });
  for (const value of ['', 'AAAA', '!!!!!!==', 'AAAAAAAA']) {
    assert.throws(() => checkedValue('CRC32', value), { code: 'InvalidRequest' }, value);
  }
});

function checksumOf(algorithm: ChecksumAlgorithm, pieces: readonly Uint8Array[]): string {
  const running = startChecksum(algorithm);
  for (const piece of pieces) running.update(piece);
  return running.digest();
}

function base64(hex: string): string {
  return Buffer.from(hex, 'hex').toString('base64');
}
