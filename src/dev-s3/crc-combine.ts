/**
 * The CRC of two byte strings one after the other, from the CRCs of both: how S3 gets the FULL_OBJECT checksum of a
 * multipart upload without reading its bytes again. Arithmetic of polynomials over GF(2), reflected like the CRCs.
 */

import type { Checksum, ChecksumAlgorithm } from './checksums.ts';
import { DevS3Error } from './dev-s3-errors.ts';

const POLYNOMIALS: Partial<Record<ChecksumAlgorithm, { bits: number; reflected: bigint }>> = {
  CRC32: { bits: 32, reflected: 0xedb88320n },
  CRC32C: { bits: 32, reflected: 0x82f63b78n },
  CRC64NVME: { bits: 64, reflected: 0x9a6c9329ac4bc9b5n },
};

/** Whether a FULL_OBJECT checksum of a multipart upload exists for the algorithm. */
export function canCombine(algorithm: ChecksumAlgorithm): boolean {
  return POLYNOMIALS[algorithm] !== undefined;
}

/** @param parts base64 of each, and how many bytes it is about */
export function combineChecksums(
  algorithm: ChecksumAlgorithm,
  parts: readonly { value: string; bytes: number }[],
): Checksum {
  const polynomial = POLYNOMIALS[algorithm];
  if (polynomial === undefined) throw new DevS3Error('InvalidRequest', `${algorithm} has no FULL_OBJECT checksum`);
  const field = new CrcField(polynomial.bits, polynomial.reflected);
  let crc = 0n;
  for (const part of parts) {
    const value = BigInt(`0x${Buffer.from(part.value, 'base64').toString('hex')}`);
    crc = field.multiply(field.shift(part.bytes), crc) ^ value;
  }
  return {
    algorithm,
    value: Buffer.from(crc.toString(16).padStart(polynomial.bits / 4, '0'), 'hex').toString('base64'),
  };
}

class CrcField {
  readonly #bits: bigint;
  readonly #polynomial: bigint;
  /** x^(8·n) by n: the parts of an upload mostly have one size. */
  readonly #shifts = new Map<number, bigint>();

  constructor(bits: number, polynomial: bigint) {
    this.#bits = BigInt(bits);
    this.#polynomial = polynomial;
  }

  multiply(a: bigint, b: bigint): bigint {
    let product = 0n;
    let factor = b;
    for (let mask = 1n << (this.#bits - 1n); mask > 0n; mask >>= 1n) {
      if ((a & mask) !== 0n) product ^= factor;
      factor = this.#timesX(factor);
    }
    return product;
  }

  /** x^(8·bytes): what so many zero bytes behind a string do to its CRC. */
  shift(bytes: number): bigint {
    const known = this.#shifts.get(bytes);
    if (known !== undefined) return known;
    let result = 1n << (this.#bits - 1n); // 1, reflected
    let power = 1n << (this.#bits - 9n); // x^8
    for (let rest = bytes; rest > 0; rest = Math.floor(rest / 2)) {
      if (rest % 2 === 1) result = this.multiply(result, power);
      power = this.multiply(power, power);
    }
    this.#shifts.set(bytes, result);
    return result;
  }

  #timesX(value: bigint): bigint {
    return (value & 1n) === 1n ? (value >> 1n) ^ this.#polynomial : value >> 1n;
  }
}
