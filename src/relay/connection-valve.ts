import { IncomingMessage } from 'node:http';
import type { Socket } from 'node:net';
import type { Readable } from 'node:stream';

/** Lets the bytes of a body come, or leaves them with whoever sends them. It begins closed. */
export interface Valve {
  open(): void;
  /** Nothing is read any more from this moment on. */
  close(): void;
  /** A chunk has come: nothing more is read unless it is opened again at once, before the event loop goes on. */
  closeUnlessOpened(): void;
  /** The stream is Node's own again, paused. */
  release(): void;
}

export function valveOf(source: Readable): Valve {
  return source instanceof IncomingMessage ? new ConnectionValve(source) : new StreamValve(source);
}

/**
 * Of a request's connection. Pausing the request alone is not enough: Node goes on reading from the connection until a
 * buffer in the request is full, which is a chunk of up to 64 KiB for each client that waits. So the request flows all
 * the time, and it is the connection that is stopped; what the client has sent then waits in the kernel.
 *
 * The connection is left alone when the message is complete: what is read then is the next request.
 */
class ConnectionValve implements Valve {
  readonly #request: IncomingMessage;
  readonly #socket: Socket;
  #isOpen = false;
  /** The connection is being read from, or will be in the next tick. */
  #isRunning = false;
  /** A resumed socket begins to read in the next tick: what pauses it before that has no effect. */
  #isStarting = false;
  #isCheckDue = false;
  /** Node wanted to resume the connection. */
  #wasWanted = false;
  #isReleased = false;

  constructor(request: IncomingMessage) {
    this.#request = request;
    this.#socket = request.socket;
    // What Node calls whenever the request has room.
    request._read = () => {
      this.#wasWanted = true;
    };
    request.pause();
    if (!this.#isOver) this.#socket.pause();
  }

  open(): void {
    if (this.#isReleased) return;
    this.#isOpen = true;
    if (this.#request.isPaused()) this.#request.resume();
    if (this.#isRunning || this.#isOver) return;
    this.#isRunning = true;
    this.#isStarting = true;
    this.#socket.resume();
    process.nextTick(this.#started);
  }

  close(): void {
    this.#isOpen = false;
    if (this.#isRunning && !this.#isStarting) this.#stop();
  }

  closeUnlessOpened(): void {
    this.#isOpen = false;
    if (this.#isCheckDue) return;
    this.#isCheckDue = true;
    // Behind every promise that is settled by now, and before anything else is read.
    queueMicrotask(this.#checkInTheNextTick);
  }

  release(): void {
    if (this.#isReleased) return;
    this.close();
    this.#isReleased = true;
    this.#request.pause();
    Reflect.deleteProperty(this.#request, '_read');
    // Node believes that a read is under way, and would not ask for another.
    if (this.#wasWanted) this.#request.once('resume', () => this.#request._read(0));
  }

  /** The connection is no longer this request's. */
  get #isOver(): boolean {
    return this.#request.complete || this.#socket.destroyed;
  }

  #stop(): void {
    this.#isRunning = false;
    if (!this.#isOver && !this.#isReleased) this.#socket.pause();
  }

  readonly #started = (): void => {
    this.#isStarting = false;
    if (!this.#isOpen) this.#stop();
  };

  readonly #check = (): void => {
    this.#isCheckDue = false;
    if (!this.#isOpen) this.close();
  };

  readonly #checkInTheNextTick = (): void => process.nextTick(this.#check);
}

/** Of any other stream, whose chunks are in memory already. */
class StreamValve implements Valve {
  readonly #source: Readable;

  constructor(source: Readable) {
    this.#source = source;
    source.pause();
  }

  open(): void {
    if (this.#source.isPaused()) this.#source.resume();
  }

  close(): void {
    this.#source.pause();
  }

  closeUnlessOpened(): void {
    this.#source.pause();
  }

  release(): void {
    this.#source.pause();
  }
}
