/**
 * What V8 is told about the heap. Its young generation is limited on the command line (`npm start`, Dockerfile), since
 * it cannot be changed later: 8 MiB instead of 16 costs nothing that can be measured and saves three times as much.
 */
import v8 from 'node:v8';

/**
 * Makes V8 count the memory of buffers into the limit of the whole heap, rather than against a limit of its own.
 *
 * That one lies 64 MiB above what the last collection left. With a body's chunks passing by it is reached every 64 MiB,
 * and each time the whole heap (some 40 MiB of program) is marked for it: more than half of the CPU of a large upload.
 * How many buffers live at one time is the memory budget's business. Measured with `npm run bench -- --scenario
 * one-patch`: 2.5 to 3.1 CPU seconds per GiB without it, 1.0 to 1.2 with it.
 */
export function countBuffersInHeapLimit(): void {
  v8.setFlagsFromString('--external-memory-accounted-in-global-limit');
}

/**
 * Lets the heap grow by a third between two collections of the whole, rather than to several times its size: what the
 * process takes beside BUFFER_BYTES stays about the same, however long it is busy.
 */
export function growHeapSlowly(): void {
  v8.setFlagsFromString('--heap-growing-percent=30');
}
