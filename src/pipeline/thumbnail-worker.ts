/**
 * The program of the process that decodes images. A decoder is native code that works on a stranger's bytes: when one
 * of them makes it crash, this process ends and no upload notices. It takes images from stdin, each after its length and
 * the memory that its decoding may take (8 bytes each, big-endian), the next one when the last has been answered, and
 * answers on the channel to its parent.
 */
import { writeFileSync } from 'node:fs';
import { makeThumbnails } from './thumbnail.ts';
import {
  DecoderMemoryError,
  type ImageSize,
  LargeImageError,
  type MadeThumbnails,
  UnusableImageError,
} from './thumbnail-terms.ts';

export type WorkerAnswer =
  | { kind: 'made'; made: MadeThumbnails }
  /** The image is the reason: a sentence for the user. */
  | { kind: 'unusable'; problem: string }
  /** It would take more memory than it may; nothing has been decoded. */
  | { kind: 'large'; size: ImageSize }
  /** The system would not give the memory. */
  | { kind: 'no-memory' }
  /** Something else is. */
  | { kind: 'failed'; message: string };

// A terminal signals all processes, and some supervisors do: when to end is for the parent to say, which drains first.
process.on('SIGINT', () => {}).on('SIGTERM', () => {});
// Not exit(): that would wait for the decoder.
process.on('disconnect', () => process.kill(process.pid, 'SIGKILL'));
offerToEndFirst();

const chunks: AsyncIterator<Buffer> = process.stdin[Symbol.asyncIterator]();
let rest: Buffer = Buffer.alloc(0);

for (let next = await nextImage(); next !== null; next = await nextImage()) process.send?.(await answerTo(next));

/** When the machine runs out of memory, Linux ends this process rather than the server or what else is there. */
function offerToEndFirst(): void {
  try {
    writeFileSync('/proc/self/oom_score_adj', '1000');
  } catch {
    // Other systems decide for themselves.
  }
}

async function answerTo({ image, decodeUpToBytes }: NextImage): Promise<WorkerAnswer> {
  try {
    return { kind: 'made', made: await makeThumbnails(image, decodeUpToBytes) };
  } catch (error) {
    if (error instanceof UnusableImageError) return { kind: 'unusable', problem: error.problem };
    if (error instanceof LargeImageError) return { kind: 'large', size: error.size };
    if (error instanceof DecoderMemoryError) return { kind: 'no-memory' };
    return { kind: 'failed', message: error instanceof Error ? error.message : String(error) };
  }
}

interface NextImage {
  image: Buffer;
  decodeUpToBytes: number;
}

/** @returns null when there are no more */
async function nextImage(): Promise<NextImage | null> {
  const head = await read(16);
  if (head === null) return null;
  const image = await read(Number(head.readBigUInt64BE(0)));
  return image === null ? null : { image, decodeUpToBytes: Number(head.readBigUInt64BE(8)) };
}

/** One buffer of the known size: collecting chunks and joining them would need twice the memory. */
async function read(bytes: number): Promise<Buffer | null> {
  const target = Buffer.allocUnsafe(bytes);
  for (let filled = 0; filled < bytes; ) {
    if (rest.length === 0) {
      const chunk = await chunks.next();
      if (chunk.done) return null;
      rest = chunk.value;
    }
    const taken = rest.copy(target, filled);
    rest = rest.subarray(taken);
    filled += taken;
  }
  return target;
}
