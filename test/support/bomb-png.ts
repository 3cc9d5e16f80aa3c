import { crc32, deflateSync } from 'node:zlib';

export interface PngWishes {
  width: number;
  height: number;
  /** 1: one grey bit. 16: red, green, blue and alpha of two bytes each. */
  depth?: 1 | 16;
  interlaced?: boolean;
}

/** A small file that says in its header that it is huge. Only with one bit a pixel does it have all that it promises. */
export function bombPng({ width, height, depth = 16, interlaced = true }: PngWishes): Buffer {
  const header = Buffer.alloc(13);
  header.writeUInt32BE(width, 0);
  header.writeUInt32BE(height, 4);
  header.set([depth, depth === 16 ? 6 : 0, 0, 0, interlaced ? 1 : 0], 8);
  const rows = depth === 1 ? Buffer.alloc((Math.ceil(width / 8) + 1) * height) : Buffer.alloc(1_000);
  return Buffer.concat([
    Buffer.from('89504e470d0a1a0a', 'hex'),
    pngChunk('IHDR', header),
    pngChunk('IDAT', deflateSync(rows)),
    pngChunk('IEND', Buffer.alloc(0)),
  ]);
}

function pngChunk(type: string, data: Buffer): Buffer {
  const body = Buffer.concat([Buffer.from(type, 'latin1'), data]);
  const chunk = Buffer.alloc(body.length + 8);
  chunk.writeUInt32BE(data.length, 0);
  body.copy(chunk, 4);
  chunk.writeUInt32BE(crc32(body), body.length + 4);
  return chunk;
}
