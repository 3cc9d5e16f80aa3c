/** The additional checksums of S3 (`x-amz-checksum-…`): which there are, and how each is computed. */
import { createHash } from 'node:crypto';
import { crc32 } from 'node:zlib';
import { type Crc64, crc32c, updateCrc64 } from './crc.ts';
import { DevS3Error } from './dev-s3-errors.ts';

export type ChecksumAlgorithm = 'CRC32' | 'CRC32C' | 'CRC64NVME' | 'SHA1' | 'SHA256';

/** A checksum as S3 writes it: base64 of the big-endian value; of a multipart object with `-` and the number of parts. */
export interface Checksum {
  algorithm: ChecksumAlgorithm;
  value: string;
}

export interface RunningChecksum {
  update(bytes: Uint8Array): void;
  /** base64 */
  digest(): string;
}

const DIGEST_BYTES: Readonly<Record<ChecksumAlgorithm, number>> = {
  CRC32: 4,
  CRC32C: 4,
  CRC64NVME: 8,
  SHA1: 20,
  SHA256: 32,
};

const PREFIX = 'x-amz-checksum-';
/** Headers of that prefix that are no checksum. */
const SETTINGS = new Set(['x-amz-checksum-algorithm', 'x-amz-checksum-mode', 'x-amz-checksum-type']);

/** `x-amz-checksum-crc32` of an algorithm. */
export function checksumHeader(algorithm: ChecksumAlgorithm): string {
  return `${PREFIX}${algorithm.toLowerCase()}`;
}

/** What an answer says about an object's checksum. */
export function checksumHeaders(checksum: Checksum | null): Record<string, string> {
  if (checksum === null) return {};
  return {
    [checksumHeader(checksum.algorithm)]: checksum.value,
    'x-amz-checksum-type': checksumType(checksum),
  };
}

/** COMPOSITE: of the parts' checksums, with their number behind it. */
export function checksumType(checksum: Checksum): 'COMPOSITE' | 'FULL_OBJECT' {
  return checksum.value.includes('-') ? 'COMPOSITE' : 'FULL_OBJECT';
}

/** `ChecksumCRC32` of an algorithm: its element in XML. */
export function checksumElement(algorithm: ChecksumAlgorithm): string {
  return `Checksum${algorithm}`;
}

/** @throws DevS3Error for a name that is none of S3's */
export function parseAlgorithm(name: string): ChecksumAlgorithm {
  const upper = name.toUpperCase();
  if (Object.hasOwn(DIGEST_BYTES, upper)) return upper as ChecksumAlgorithm;
  throw new DevS3Error('InvalidRequest', `Checksum algorithm provided is unsupported: ${name}`);
}

/**
 * The algorithm that a header is about; null for a header that holds no checksum. An algorithm we cannot check is
 * refused: taking it unchecked would tell the client that its bytes are safe.
 */
export function algorithmOfHeader(name: string): ChecksumAlgorithm | null {
  if (!name.startsWith(PREFIX) || SETTINGS.has(name)) return null;
  const upper = name.slice(PREFIX.length).toUpperCase();
  if (Object.hasOwn(DIGEST_BYTES, upper)) return upper as ChecksumAlgorithm;
  throw new DevS3Error('NotImplemented', `dev-s3 cannot verify ${name}`);
}

/** @throws DevS3Error when the value cannot be a digest of that algorithm */
export function checkedValue(algorithm: ChecksumAlgorithm, value: string): Checksum {
  if (!/^[A-Za-z0-9+/]+={0,2}$/.test(value) || Buffer.from(value, 'base64').length !== DIGEST_BYTES[algorithm]) {
    throw new DevS3Error('InvalidRequest', `Value for ${checksumHeader(algorithm)} header is invalid.`);
  }
  return { algorithm, value };
}

export function startChecksum(algorithm: ChecksumAlgorithm): RunningChecksum {
  if (algorithm === 'SHA1' || algorithm === 'SHA256') {
    const hash = createHash(algorithm);
    return { update: (bytes) => void hash.update(bytes), digest: () => hash.digest('base64') };
  }
  if (algorithm === 'CRC64NVME') {
    const crc: Crc64 = { high: 0, low: 0 };
    return {
      update: (bytes) => updateCrc64(crc, bytes),
      digest: () => {
        const digest = Buffer.alloc(8);
        digest.writeUInt32BE(crc.high, 0);
        digest.writeUInt32BE(crc.low, 4);
        return digest.toString('base64');
      },
    };
  }
  const step = algorithm === 'CRC32' ? crc32 : crc32c;
  let crc = 0;
  return {
    update: (bytes) => {
      crc = step(bytes, crc);
    },
    digest: () => {
      const digest = Buffer.alloc(4);
      digest.writeUInt32BE(crc);
      return digest.toString('base64');
    },
  };
}

/** Of a multipart object: the checksum of the parts' checksums, which S3 calls COMPOSITE. */
export function compositeChecksum(algorithm: ChecksumAlgorithm, partValues: readonly string[]): Checksum {
  const running = startChecksum(algorithm);
  for (const value of partValues) running.update(Buffer.from(value, 'base64'));
  return { algorithm, value: `${running.digest()}-${partValues.length}` };
}
