/**
 * The two CRCs that zlib does not have, in their reflected form (as S3 names them: CRC32C, CRC64NVME). A CRC-64 is kept
 * as two 32-bit halves: BigInt would be a hundred times slower.
 */

/** Running value of a CRC-32C; starts and ends as 0 for no bytes, like `zlib.crc32`. */
export function crc32c(bytes: Uint8Array, before = 0): number {
  crc32cTable ??= makeTable32(0x82f63b78);
  const table = crc32cTable;
  let crc = ~before;
  for (let at = 0; at < bytes.length; at++) crc = (crc >>> 8) ^ (table[(crc ^ (bytes[at] ?? 0)) & 0xff] ?? 0);
  return ~crc >>> 0;
}

export interface Crc64 {
  high: number;
  low: number;
}

/** Running value of a CRC-64/NVME, changed in place; starts as zeros. */
export function updateCrc64(crc: Crc64, bytes: Uint8Array): void {
  crc64Table ??= makeTable64(0x9a6c9329, 0xac4bc9b5);
  const { high: tableHigh, low: tableLow } = crc64Table;
  let high = ~crc.high;
  let low = ~crc.low;
  for (let at = 0; at < bytes.length; at++) {
    const index = (low ^ (bytes[at] ?? 0)) & 0xff;
    low = ((low >>> 8) | (high << 24)) ^ (tableLow[index] ?? 0);
    high = (high >>> 8) ^ (tableHigh[index] ?? 0);
  }
  crc.high = ~high >>> 0;
  crc.low = ~low >>> 0;
}

let crc32cTable: Int32Array | undefined;
let crc64Table: { high: Int32Array; low: Int32Array } | undefined;

function makeTable32(polynomial: number): Int32Array {
  return Int32Array.from({ length: 256 }, (_, index) => {
    let crc = index;
    for (let bit = 0; bit < 8; bit++) crc = crc & 1 ? (crc >>> 1) ^ polynomial : crc >>> 1;
    return crc;
  });
}

function makeTable64(polynomialHigh: number, polynomialLow: number): { high: Int32Array; low: Int32Array } {
  const high = new Int32Array(256);
  const low = new Int32Array(256);
  for (let index = 0; index < 256; index++) {
    let h = 0;
    let l = index;
    for (let bit = 0; bit < 8; bit++) {
      const odd = l & 1;
      l = (l >>> 1) | (h << 31);
      h >>>= 1;
      if (odd) {
        h ^= polynomialHigh;
        l ^= polynomialLow;
      }
    }
    high[index] = h;
    low[index] = l;
  }
  return { high, low };
}
