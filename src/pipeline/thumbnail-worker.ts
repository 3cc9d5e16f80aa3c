/**
 * The program of the process that decodes images. A decoder is native code that works on a stranger's bytes: when one
 * of them makes it crash, this process ends and no upload notices. It takes images from stdin, each after its length
 * (8 bytes, big-endian), the next one when the last has been answered, and answers on the channel to its parent.
 */
import { makeThumbnails } from './thumbnail.ts';
import { type MadeThumbnails, UnusableImageError } from './thumbnail-terms.ts';

export type WorkerAnswer =
  | { kind: 'made'; made: MadeThumbnails }
  /** The image is the reason: a sentence for the user. */
  | { kind: 'unusable'; problem: string }
  /** Something else is. */
  | { kind: 'failed'; message: string };

// A terminal signals all processes, and some supervisors do: when to end is for the parent to say, which drains first.
process.on('SIGINT', () => {}).on('SIGTERM', () => {});
// Not exit(): that would wait for the decoder.
process.on('disconnect', () => process.kill(process.pid, 'SIGKILL'));

const chunks: AsyncIterator<Buffer> = process.stdin[Symbol.asyncIterator]();
let rest: Buffer = Buffer.alloc(0);

for (let image = await nextImage(); image !== null; image = await nextImage()) process.send?.(await answerTo(image));

async function answerTo(image: Buffer): Promise<WorkerAnswer> {
  try {
    return { kind: 'made', made: await makeThumbnails(image) };
  } catch (error) {
    if (error instanceof UnusableImageError) return { kind: 'unusable', problem: error.problem };
    return { kind: 'failed', message: error instanceof Error ? error.message : String(error) };
  }
}

/** @returns null when there are no more */
async function nextImage(): Promise<Buffer | null> {
  const length = await read(8);
  return length === null ? null : read(Number(length.readBigUInt64BE()));
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
