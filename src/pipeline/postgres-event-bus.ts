import { randomUUID } from 'node:crypto';
import { setTimeout as sleep } from 'node:timers/promises';
import type { PostgresMessages } from '../catalog/postgres-messages.ts';
import { type EventBus, type FileEvent, uploadIdOf } from './event-bus.ts';
import { packEvents, unpackEvents } from './event-message.ts';
import { EventOutbox } from './event-outbox.ts';
import { MemoryEventBus } from './memory-event-bus.ts';

const CHANNEL = 'tus_relay_events';
/** The progress of an upload goes to the other nodes at most this often. */
const PROGRESS_EVERY_MS = 250;
/** What else happens within this time goes out together: many small uploads would each cost a round trip otherwise. */
const GATHER_MS = 25;
/** What a close waits for, so that the last events still go out. */
const LAST_WORDS_MS = 1_000;

/**
 * Events among the nodes that share a Postgres. This node's listeners hear at once and whatever happens; those of the
 * others a moment later. What went by while they were cut off they do not hear, but that there may have been something.
 */
export class PostgresEventBus implements EventBus {
  readonly #messages: PostgresMessages;
  readonly #local: MemoryEventBus;
  readonly #nodeId = randomUUID();
  readonly #outbox = new EventOutbox();
  #closed = false;
  #sending: Promise<void> | null = null;
  #progressTimer: NodeJS.Timeout | null = null;
  #gatherTimer: NodeJS.Timeout | null = null;
  #progressIsDue = false;

  /**
   * @param messages not started yet; whoever opened them closes them, after this
   * @param onFailure is told what a listener threw
   */
  constructor(messages: PostgresMessages, onFailure: (error: unknown) => void) {
    this.#messages = messages;
    this.#local = new MemoryEventBus(onFailure);
    messages.listen(CHANNEL, (payload) => this.#hear(payload));
    let wasLost = false;
    messages.onChange((connected) => {
      if (connected && wasLost) this.#afterLoss();
      wasLost = !connected;
      if (connected) this.#send();
    });
  }

  publish(event: FileEvent): void {
    if (!this.#local.publish(event) || this.#closed) return;
    this.#outbox.add(event);
    if (event.type === 'progress') this.#progressTimer ??= setTimeout(() => this.#onProgressDue(), PROGRESS_EVERY_MS);
    else this.#gatherTimer ??= setTimeout(() => this.#onGathered(), GATHER_MS);
  }

  subscribe(listener: (event: FileEvent) => void): () => void {
    return this.#local.subscribe(listener);
  }

  /** Safe to call twice; never rejects. */
  async close(): Promise<void> {
    if (this.#progressTimer !== null) clearTimeout(this.#progressTimer);
    if (this.#gatherTimer !== null) clearTimeout(this.#gatherTimer);
    if (this.#closed) return;
    this.#send();
    this.#closed = true;
    const lastWords = sleep(LAST_WORDS_MS, undefined, { ref: false });
    if (this.#sending !== null) await Promise.race([this.#sending, lastWords]);
  }

  #onProgressDue(): void {
    this.#progressTimer = null;
    this.#progressIsDue = true;
    this.#send();
  }

  #onGathered(): void {
    this.#gatherTimer = null;
    this.#send();
  }

  /** One at a time: what comes up meanwhile goes out together. */
  #send(): void {
    if (!this.#messages.connected || this.#sending !== null) return;
    const progress = this.#progressIsDue ? this.#outbox.takeProgress() : [];
    const others = this.#outbox.takeOthers();
    this.#progressIsDue = false;
    if (progress.length + others.length === 0) return;
    this.#sending = this.#messages.notify(CHANNEL, packEvents(this.#nodeId, [...progress, ...others])).then(
      () => {
        this.#sending = null;
        this.#send();
      },
      () => {
        this.#sending = null;
        // Perhaps they had arrived. Twice is better than never: an event only says "look again".
        for (const event of others) this.#outbox.add(event);
      },
    );
  }

  #hear(payload: string): void {
    const message = unpackEvents(payload);
    if (message === null || message.from === this.#nodeId) return;
    for (const event of message.events) {
      if (event.type !== 'progress' && event.type !== 'missed') this.#outbox.forgetProgress(uploadIdOf(event));
      this.#local.publish(event);
    }
  }

  /** Others may have told something meanwhile; and of our own progress nobody knows whether its uploads still go on. */
  #afterLoss(): void {
    this.#outbox.takeProgress();
    this.#local.publish({ type: 'missed' });
  }
}
